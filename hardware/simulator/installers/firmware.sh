COMPONENT=Firmware
mode= cmdlist="$*"

for option in "$@"; do
  case $option in
    --help|-h)
      printf '  --full        Install full mode\n  --upgrade     Upgrade product\n  --uninstall   Uninstall product\n  --check       Check the package\n  --version     Query the package version\n'
      exit 0 ;;
    --full|--upgrade|--uninstall|--check|--version)
      [ -z "$mode" ] || { mkdir -p $LOGS; say ERROR "ERR_NO:0x0004;ERR_DES:only support one type: full/upgrade/uninstall, operation failed!"; exit 1; }
      mode=$option ;;
    --quiet|--force|--install-for-all|--install-path=*) ;;
    *)
      mkdir -p $LOGS
      say ERROR "ERR_NO:0x0004;ERR_DES: Unrecognized parameters: $option. Try './xxx.run --help' for more information."
      exit 1 ;;
  esac
done
if [ -z "$mode" ]; then
  mkdir -p $LOGS
  say ERROR 'ERR_NO:0x0004;ERR_DES:The parameter needs to be used with full/debug/run/upgrade/uninstall.'
  exit 1
fi
if [ $mode = --version ]; then
  echo "$VERSION"
  exit 0
fi
verify
echo 'Uncompressing ASCEND-HDK-910-NPU FIRMWARE RUN PACKAGE  100%'
begin "$([ $mode = --uninstall ] && echo Uninstall || echo Install)"
require_root
TARGET=$ROOT/firmware
INSTALLED=$(value $TARGET/version.info Version)
DRIVER=$(value $ROOT/driver/version.info Version)
[ -z "$INSTALLED" ] || say INFO "base version is $INSTALLED."
[ $mode = --check ] && finish 0
take
if [ $mode = --uninstall ]; then
  [ -n "$INSTALLED" ] || refuse 'ERR_NO:0x0080;ERR_DES:Firmware package is not installed on this device, uninstall failed'
  rm -rf $TARGET
  sed -i '/^Firmware_/d' $INFO
  say INFO 'Firmware package uninstalled successfully! Uninstallation takes effect immediately.'
  finish 0
fi
say WARNING 'Do not power off or restart the system during the installation/upgrade'
user=$(value $INFO UserName)
getent passwd "${user:-HwHiAiUser}" >/dev/null || refuse "ERR_NO:0x0091;ERR_DES:${user:-HwHiAiUser} not exists! Please add ${user:-HwHiAiUser}"
# The chips are written through the driver's tools: on a machine that never had a driver there are none.
[ -n "$DRIVER" ] || refuse 'The driver package is not installed on this device, please install the driver package first.'
count=$(chips)
if [ "$count" -eq 0 ]; then
  say WARNING 'There is no chip matching the firmware package.'
  finish 1
fi
for percent in 4 51 86 86; do
  sleep 0.7
  say INFO "upgradePercentage: $percent%"
done
mkdir -p $TARGET/image $TARGET/tools
if ! payload >$TARGET/image/Ascend910.hpm; then
  rm -rf $TARGET
  refuse 'copy the firmware package failed: No space left on device'
fi
cat >$TARGET/version.info <<'EOF'
@VERSION_INFO@
EOF
remember Firmware_Install_Type full
remember Firmware_Install_Path_Param $ROOT
say INFO 'upgradePercentage: 100%'
say INFO "The firmware of [$count] chips are successfully upgraded."
say INFO 'Firmware package installed successfully! Reboot now or after driver installation for the installation/upgrade to take effect.'
finish 0
