COMPONENT=Driver
mode= for_all=no quiet= force= path=$ROOT user= group= cmdlist="$*"

usage() {
  cat <<'EOF'
  --repack [package_name]           Build a precompiled kernel module for the currently running kernel and repack
                                    the .run file.
  --full                            Install full mode
  --run                             Install run mode
  --devel                           Install devel mode
  --docker                          Install docker mode
  --upgrade                         Upgrade product immediately
  --install-path=<path>             Install to specific dir
  --install-username=<username>     Install to specific username
  --install-usergroup=<usergroup>   Install to specific usrgroup
  --uninstall                       Uninstall product
  --version                         Query the package version
  --install-for-all                 Install for all user
  --force                           Install and take effect later
  --norebuild                       Forcibly no kernel module rebuild
EOF
}

parameters() { early "ERR_NO:0x0004;ERR_DES:$1"; }
early() {
  mkdir -p $LOGS
  say ERROR "$1"
  exit 1
}

for option in "$@"; do
  case $option in
    --help|-h) usage; exit 0 ;;
    --full|--run|--devel|--docker|--upgrade|--uninstall|--check|--version)
      [ -z "$mode" ] || case "$mode$option" in
        *--version*|*--check*) parameters "version/check can't use with other parameters." ;;
        *--uninstall*) parameters "uninstall can't use with other parameters except force." ;;
        *) parameters 'only support one type: full/debug/run/docker/devel, operation failed!' ;;
      esac
      mode=$option ;;
    --install-for-all) for_all=yes ;;
    --quiet) quiet=1 ;;
    --force) force=1 ;;
    --norebuild) ;;
    --install-path=*)
      path=${option#*=}
      [ -n "$path" ] || early 'ERR_NO:0x0003;ERR_DES:install path is null, install failed'
      case $path in *[!A-Za-z0-9_/-]*) early "ERR_NO:0x0003;ERR_DES:The install-path [$path] is invalid according to regular-expression, only characters in [a-z,A-Z,0-9,-,_] are supported." ;; esac ;;
    --install-username=*)
      user=${option#*=}
      [ -n "$user" ] || early 'ERR_NO:0x0091;ERR_DES:input_install_username is empty' ;;
    --install-usergroup=*)
      group=${option#*=}
      [ -n "$group" ] || early 'ERR_NO:0x0091;ERR_DES:input_install_group is empty' ;;
    *) parameters "Unrecognized parameters: $option. Try './xxx.run --help' for more information." ;;
  esac
done
[ -n "$mode" ] || parameters 'The parameter needs to be used with full/debug/run/docker/upgrade/devel.'
if [ $for_all = yes ]; then
  case $mode in
    --full|--run|--devel|--upgrade) ;;
    *) parameters 'install-for-all param need used with full/debug/run/devel.' ;;
  esac
fi
[ -n "$user" ] && [ -z "$group" ] && parameters 'Username and usergroup are not specified at the same time.'
[ -z "$user" ] && [ -n "$group" ] && parameters 'Username and usergroup are not specified at the same time.'

if [ $mode = --version ]; then
  echo "$VERSION"
  exit 0
fi
verify
[ $mode = --check ] && verify
echo 'Uncompressing ASCEND DRIVER RUN PACKAGE  100%'
begin "$([ $mode = --uninstall ] && echo Uninstall || echo Install)"
require_root

TARGET=$ROOT/driver
INSTALLED=$(value $TARGET/version.info Version)
FIRMWARE=$(value $ROOT/firmware/version.info Version)

pair() {
  [ -n "$FIRMWARE" ] || return 0
  within "$FIRMWARE" '@FIRMWARE_LOW@' '@FIRMWARE_HIGH@'
}

if [ $mode = --check ]; then
  [ -z "$INSTALLED" ] || say INFO "base version is $INSTALLED."
  if [ -n "$FIRMWARE" ]; then
    pair || refuse 'driver and firmware version relationship check failed'
    say INFO 'driver and firmware version relationship check success'
  fi
  finish 0
fi

take
occupied() {
  [ -z "$(find /proc/[0-9]*/fd -maxdepth 1 -lname '/dev/davinci*' 2>/dev/null)" ] || return 0
  for file in /var/lib/docker/containers/*.json; do
    [ -f "$file" ] || continue
    said=$(tr -d ' \n' <"$file")
    case $said in *'"devices":['[0-9\"]*) ;; *) continue ;; esac
    case $said in *'"boot_id":""'*) ;; *'"boot_id":'*) case $said in *"$(cat /proc/sys/kernel/random/boot_id)"*) ;; *) continue ;; esac ;; esac
    pid=$(echo "$said" | sed -n 's/.*"pid":\([0-9][0-9]*\).*/\1/p')
    [ "${pid:-0}" -gt 0 ] && kill -0 "$pid" 2>/dev/null && return 0
  done
  return 1
}

if [ $mode = --uninstall ]; then
  [ -n "$INSTALLED" ] || refuse 'ERR_NO:0x0080;ERR_DES:Driver package is not installed on this device, uninstall failed'
  occupied && refuse "${RED}The davinci nodes are occupied by some processes, please stop processes and install or uninstall again, details in : $LOG $RESET"
  rm -rf $TARGET /var/lib/dkms/davinci_ascend /usr/local/dcmi
  rm -f /usr/local/sbin/npu-smi /usr/local/bin/npu-smi /usr/local/bin/hccn_tool
  sed -i '/^Driver_/d' $INFO
  say INFO "Driver package uninstalled successfully! Reboot needed for uninstallation to take effect!"
  finish 0
fi

say WARNING 'Do not power off or restart the system during the installation/upgrade'
user=${user:-$(value $INFO UserName)} group=${group:-$(value $INFO UserGroup)}
user=${user:-HwHiAiUser} group=${group:-HwHiAiUser}
getent group "$group" >/dev/null || refuse "ERR_NO:0x0091;ERR_DES:$group group not exists! Please add $group group"
getent passwd "$user" >/dev/null || refuse "ERR_NO:0x0091;ERR_DES:$user not exists! Please add $user"
if [ "$user" = root ] && [ $for_all = no ]; then
  refuse 'ERR_NO:0x0091;ERR_DES:username not permission for root (except install-for-all scene), check /etc/ascend_install.info'
fi
id -Gn "$user" | tr ' ' '\n' | grep -qx "$group" \
  || refuse "ERR_NO:0x0096;ERR_DES:$group not right! Please check the relatianship of $user and $group"
before=$(value $INFO UserName)
[ -z "$before" ] || [ "$before" = "$user" ] \
  || refuse 'ERR_NO:0x0095;ERR_DES:The user and group are not same with last installation,do not support overwriting installation'
say INFO "set username and usergroup, $user:$group"

[ "$(uname -m)" = '@ARCH@' ] || refuse "The architecture of the package (@ARCH@) is not that of the system ($(uname -m))."
missing=
for package in net-tools:ifconfig pciutils:lspci; do
  rpm -q "${package%:*}" >/dev/null 2>&1 || missing="$missing${package#*:},"
done
[ -z "$missing" ] || refuse "The list of missing tools: $missing"
if [ "$(chips)" -eq 0 ]; then
  say WARNING 'There is no chip matching the driver package.'
  finish 1
fi
free=$(df -P -k "$ROOT" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free" -ge @OCCUPIES@ ] \
  || refuse "free space only ${free}M, cannot install driver package (greater than @OCCUPIES@M), please make sure enough space under the installation path"
occupied && refuse "${RED}The davinci nodes are occupied by some processes, please stop processes and install or uninstall again, details in : $LOG $RESET"
pair || refuse 'driver and firmware version relationship check failed, please upgrade the firmware first'
[ $mode != --upgrade ] || [ -n "$INSTALLED" ] || refuse 'ERR_NO:0x0080;ERR_DES:Driver package is not installed on this device, upgrade failed'

say INFO 'driver install type: DKMS'
kernel=$(uname -r)
for package in dkms gcc make; do
  rpm -q $package >/dev/null 2>&1 || broken=1
done
if [ ! -d "/usr/src/kernels/$kernel" ]; then
  note WARNING 'linux headers is currently not installed.'
  broken=1
fi
[ -z "$broken" ] || refuse "${RED}Drv_dkms_env_check failed, details in : $LOG $RESET"
say INFO 'upgradePercentage:10%'
sleep 0.8
say INFO 'upgradePercentage:30%'
sleep 0.4
say INFO 'upgradePercentage:40%'
if fault driver-fails; then
  sleep 0.5
  echo "/var/lib/dkms/davinci_ascend/1.0/build/vascend_drv/kvmdt.c:62: error: \"MIN\" redefined [-Werror]" >>$LOG
  echo 'cc1: all warnings being treated as errors' >>$LOG
  refuse "Dkms install failed, details in : $LOG."
fi
sleep 1.2
mkdir -p $TARGET/lib64/driver $TARGET/tools $TARGET/script /usr/local/dcmi /usr/local/sbin /usr/local/bin
if ! payload >$TARGET/lib64/driver/libascend_hal.so; then
  rm -rf $TARGET
  refuse 'copy the driver package failed: No space left on device'
fi
ln -sf $SIMULATED/software/npu-smi /usr/local/sbin/npu-smi
ln -sf ../sbin/npu-smi /usr/local/bin/npu-smi
ln -sf $SIMULATED/software/hccn_tool $TARGET/tools/hccn_tool
mkdir -p "/var/lib/dkms/davinci_ascend/1.0/$kernel"
touch /etc/hccn.conf /usr/local/dcmi/libdcmi.so
cp "$0" $TARGET/script/package.run 2>/dev/null
printf '#!/bin/sh\nexec %s/driver/script/package.run --uninstall\n' $ROOT >$TARGET/script/uninstall.sh
chmod 755 $TARGET/script/*
say INFO 'upgradePercentage:90%'
sleep 0.8
loaded=$([ -d /run/davinci ] && echo 1)
if [ -n "$loaded" ] && [ -z "$force" ]; then
  say INFO 'Waiting for device startup...'
  sleep 0.5
  say INFO 'Device startup success'
fi
cat >$TARGET/version.info <<'EOF'
@VERSION_INFO@
EOF
remember UserName "$user"
remember UserGroup "$group"
remember Driver_Install_Type "$([ $mode = --upgrade ] && echo full || echo ${mode#--})"
remember Driver_Install_Path_Param "$path"
remember Driver_Install_For_All $for_all
remember Driver_Install_Mode normal
remember Driver_Install_Status complete
say INFO 'upgradePercentage:100%'
done=$([ $mode = --upgrade ] && echo upgraded || echo installed)
if [ -n "$loaded" ] && [ -z "$force" ]; then
  cp $TARGET/version.info /run/davinci/driver
  say INFO "Driver package $done successfully! The new version takes effect immediately."
else
  say INFO "Driver package $done successfully! Reboot needed for installation/upgrade to take effect!"
fi
finish 0
