#!/busybox sh
# The first program of the machine: loads drivers, mounts the disk and moves there.
bb=/busybox
$bb mount -t proc proc /proc
$bb mount -t devtmpfs devtmpfs /dev
while read -r module; do
    $bb insmod "/modules/$module" || echo "cannot load $module"
done </modules/order
$bb mount -t ext4 /dev/vda /root || $bb poweroff -f
$bb umount /proc
$bb mount -o move /dev /root/dev
exec $bb switch_root /root /vm/suite.sh
