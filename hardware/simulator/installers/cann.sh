COMPONENT=Toolkit
mode= path=$ROOT cmdlist="$*"
LOG=$LOGS/ascend_toolkit_install.log

stamp() { date '+%Y%m%d-%H:%M:%S'; }
say() {
  echo "[$COMPONENT] [$(stamp)] [$1] $2"
  note "$1" "$2"
}
note() { echo "[$COMPONENT] [$(stamp)] [$1] $2" >>"$LOG"; }
finish() {
  release
  exit "$1"
}
mkdir -p $LOGS

for option in "$@"; do
  case $option in
    --help|-h)
      printf '  --install | --full        Install\n  --upgrade                 Upgrade\n  --uninstall               Uninstall\n  --install-path=<path>     Install to specific dir\n  --install-for-all         Install for all user\n  --quiet                   Do not ask\n  --check                   Check the package\n  --version                 Query the package version\n'
      exit 0 ;;
    --install|--full|--upgrade|--uninstall|--check|--version)
      [ -z "$mode" ] || refuse 'ERR_NO:0x0004;ERR_DES:only support one type: full/install/upgrade/uninstall, operation failed!'
      mode=$option ;;
    --install-path=*) path=${option#*=} ;;
    --quiet|--force|--install-for-all|--nox11) ;;
    *) refuse "ERR_NO:0x0004;ERR_DES:Unrecognized parameters: $option. Try './xxx.run --help' for more information." ;;
  esac
done
[ -n "$mode" ] || refuse "ERR_NO:0x0004;ERR_DES:Unrecognized parameters. Try './xxx.run --help' for more information."
if [ $mode = --version ]; then
  echo "$VERSION"
  exit 0
fi
verify
[ $mode = --check ] && exit 0
echo 'Uncompressing ASCEND_RUN_PACKAGE  100%'
say INFO "LogFile:$LOG"
echo
echo "Install MINOR root $(stamp) 127.0.0.1 $NAME start installmode=${mode#--}; cmdlist=$cmdlist" >>"$LOGS/operation.log"
take
HOME_=$path/ascend-toolkit
PLACE=$HOME_/$VERSION
if [ $mode = --uninstall ]; then
  [ -d "$PLACE" ] || refuse "ERR_NO:0x0080;ERR_DES:Ascend-cann-toolkit_${VERSION} is not installed in $path."
  rm -rf "$HOME_" /etc/Ascend/ascend_cann_install.info /usr/local/mindspore-lite-2.4.10-linux-@ARCH@
  say INFO "Ascend-cann-toolkit_${VERSION}_linux-@ARCH@ uninstall success."
  finish 0
fi
[ "$(uname -m)" = '@ARCH@' ] || refuse "The architecture of the package (@ARCH@) is not that of the system ($(uname -m))."
[ -d "$path" ] || mkdir -p "$path" || refuse "ERR_NO:0x0003;ERR_DES:install path $path not exists."
free=$(df -P -k "$path" | awk 'NR == 2 { print int($4 / 1048576) }')
[ "$free" -ge 10 ] || refuse "The free space of $path is ${free}G, Ascend-cann-toolkit_${VERSION} needs 10G."
for part in "Ascend-cann-runtime-$VERSION-linux.@ARCH@.run" "Ascend-cann-compiler-$VERSION-linux.@ARCH@.run" "Ascend-test-ops_${VERSION}_linux.run"; do
  say INFO "install package $part start"
  sleep 1
  say INFO "$part --full --quiet --nox11 install success"
done
mkdir -p "$PLACE/@ARCH@-linux/lib64" "$PLACE/bin" "$PLACE/opp" /etc/Ascend
if ! payload >"$PLACE/@ARCH@-linux/lib64/libascendcl.so"; then
  rm -rf "$PLACE"
  refuse 'copy the package failed: No space left on device'
fi
ln -sfn "$VERSION" "$HOME_/latest"
ln -sf $SIMULATED/software/atc "$PLACE/bin/atc"
ln -sf $SIMULATED/software/msprof "$PLACE/bin/msprof"
# The real one comes with MindSpore Lite, an archive that is unpacked: it lies here as if somebody had.
LITE=/usr/local/mindspore-lite-2.4.10-linux-@ARCH@/tools/converter/converter
mkdir -p "$LITE"
printf '#!/bin/sh\nexec %s "$@"\n' $SIMULATED/software/converter_lite >"$LITE/converter_lite"
chmod 755 "$LITE/converter_lite"
cat >"$PLACE/@ARCH@-linux/ascend_toolkit_install.info" <<EOF
@VERSION_INFO@
path=$PLACE/@ARCH@-linux
EOF
cat >"$HOME_/set_env.sh" <<EOF
export ASCEND_TOOLKIT_HOME=$HOME_/latest
export LD_LIBRARY_PATH=\$ASCEND_TOOLKIT_HOME/lib64:\$ASCEND_TOOLKIT_HOME/lib64/plugin/opskernel:\$LD_LIBRARY_PATH
export PYTHONPATH=\$ASCEND_TOOLKIT_HOME/python/site-packages:\$PYTHONPATH
export PATH=\$ASCEND_TOOLKIT_HOME/bin:\$ASCEND_TOOLKIT_HOME/compiler/ccec_compiler/bin:\$PATH
export ASCEND_AICPU_PATH=\$ASCEND_TOOLKIT_HOME
export ASCEND_OPP_PATH=\$ASCEND_TOOLKIT_HOME/opp
export TOOLCHAIN_HOME=\$ASCEND_TOOLKIT_HOME/toolkit
export ASCEND_HOME_PATH=\$ASCEND_TOOLKIT_HOME
EOF
say INFO 'Write Toolkit_InstallPath to /etc/Ascend/ascend_cann_install.info.'
echo "Toolkit_InstallPath=$path" >/etc/Ascend/ascend_cann_install.info
printf '\n===========\n= Summary =\n===========\n\n'
[ ! -f $ROOT/driver/version.info ] || echo "Driver:   Installed in $ROOT/driver."
cat <<EOF
Toolkit:  Ascend-cann-toolkit_${VERSION}_linux-@ARCH@ install success, installed in $path.

Please make sure that the environment variables have been configured.
-  To take effect for all users, you can add "source $HOME_/set_env.sh" to /etc/profile.
-  To take effect for current user, you can exec command below: source $HOME_/set_env.sh or add "source $HOME_/set_env.sh" to ~/.bashrc.
EOF
finish 0
