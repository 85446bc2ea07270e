#!/vm/busybox sh
# Runs every test in a control group of its own, as a service manager would,
# and tells the second serial line how each one ended.
#
# Lines: `test USER SUITE NAME PASS|FAIL SECONDS`, `| output` of what failed, and
# `end` after the last one.
bb=/vm/busybox
root=/sys/fs/cgroup
user_id=1000
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/tmp

set_up() {
    $bb mount -t proc proc /proc
    $bb mount -t sysfs sysfs /sys
    $bb mkdir -p /dev/shm /dev/pts
    $bb mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    $bb mount -t devpts devpts /dev/pts
    $bb mount -t tmpfs -o mode=1777 tmpfs /tmp
    $bb mount -t tmpfs -o mode=755 tmpfs /run
    $bb mount -t cgroup2 -o nsdelegate cgroup2 $root
    echo "+memory +pids +cpu" >$root/cgroup.subtree_control
    $bb ifconfig lo 127.0.0.1 up
    # The disk was made by whoever built it.
    [ "$($bb stat -c %u /usr/bin)" = 0 ] || $bb chown -Rh 0:0 /bin /etc /lib /lib64 /mnt /root /sbin /usr /var
    read -r suites_root </vm/suites_root
    read -r suites_user </vm/suites_user
    read -r filter </vm/filter
    read -r seconds_max </vm/seconds_max
    exec 3>/dev/ttyS1
}

# Hands a group over as `Delegate=yes` does.
delegate() {
    $bb chown $user_id:$user_id "$1" "$1/cgroup.procs" "$1/cgroup.subtree_control" \
        "$1/cgroup.threads"
}

remove() {
    for below in "$1"/*/; do
        [ -d "$below" ] && remove "${below%/}"
    done
    $bb rmdir "$1"
}

# Ends whatever a test left, and waits until it is gone.
clear_away() {
    echo 1 >"$1/cgroup.kill"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        remove "$1" 2>/dev/null
        [ -d "$1" ] || return 0
        $bb usleep 100000
    done
}

# A group that holds nothing but groups, and one below it for the test.
prepare() {
    $bb mkdir "$1"
    echo "+memory +pids +cpu" >"$1/cgroup.subtree_control"
    $bb mkdir "$1/main"
    [ "$2" = root ] || { delegate "$1" && delegate "$1/main"; }
}

# Enters the group, becomes the user and runs: one test, in its own process.
inside() {
    group=$1 user=$2
    shift 2
    become=
    [ "$user" = root ] ||
        become="/usr/bin/setpriv --reuid $user_id --regid $user_id --clear-groups --inh-caps=-all"
    # The clock stays outside: a stranger in the group would be refused there.
    $bb timeout -s KILL "$seconds_max" /bin/sh -c \
        'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" $become "$@"
}

try() {
    user=$1 suite=$2 name=$3
    group=$root/$user-$suite
    prepare "$group" "$user"
    started=$($bb date +%s)
    ending=FAIL
    inside "$group/main" "$user" "/vm/tests/$suite" --exact "$name" --nocapture \
        >/run/output 2>&1 </dev/null &&
        $bb grep -q '1 passed' /run/output && ending=PASS
    clear_away "$group"
    echo "test $user $suite $name $ending $(($($bb date +%s) - started))" >&3
    [ $ending = PASS ] || $bb tail -n 40 /run/output | $bb sed 's/^/| /' >&3
}

try_suites() {
    user=$1
    shift
    for suite in "$@"; do
        for name in $("/vm/tests/$suite" --list | $bb sed -n 's/: test$//p'); do
            case "$suite::$name" in
            *"$filter"*) try "$user" "$suite" "$name" ;;
            esac
        done
    done
}

set_up
echo "kernel $($bb uname -r)" >&3
try_suites root $suites_root
try_suites user $suites_user
echo end >&3
$bb poweroff -f
