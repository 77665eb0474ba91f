#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Capture the golden streams again from real QEMUs.
#
#   tests/interop/golden/capture.sh BUILD [NAME]
#
# 7.2 is the installed qemu-system-riscv64 (QEMU72 names another), 10.0 comes through ../qemu10.
# BUILD has the bare-metal guest and ferry-inspect, which writes the text beside each stream. What
# changes with every run is the guests' clocks and RAM; the structure should not. Look at the
# difference of the texts before checking new files in. ram.sha256 has the digest of each source's
# RAM, dumped by the source itself once its guest stood still for good.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: capture.sh BUILD [NAME]}" && pwd)
q72=${QEMU72:-qemu-system-riscv64}
q10="$here/../qemu10 qemu-system-riscv64"
bare=$build/tests/guest/bare.elf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
truncate -s 1M "$work/disk"
common="-nodefaults -display none -monitor stdio"

only=${2:-}     # a name: capture nothing else

# capture NAME "MONITOR COMMANDS" QEMU-AND-OPTIONS...: the commands end with the migration
capture() {
    name=$1 commands=$2
    shift 2
    [ -z "$only" ] || [ "$only" = "$name" ] || return 0
    echo "$name" >&2
    case $* in *"-M virt"*) base=0x80000000 ;; *) base=0 ;; esac
    size=$(($(echo "$*" | sed 's/.* -m \([0-9]*\)M.*/\1/') << 20))
    # shellcheck disable=SC2086
    (eval "$commands"; echo info migrate; echo "pmemsave $base $size \"$work/ram\""; sleep 0.5; echo quit) |
        timeout 60 "$@" $common > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    if [ ! -s "$work/stream" ] || ! grep -q 'Migration status: completed' "$work/log"; then
        cat "$work/log" >&2
        exit 1
    fi
    grep 'xbzrle pages' "$work/log" >&2 || :    # by the source's own count
    gzip -9nc "$work/stream" > "$here/$name.mig.gz"
    case $* in *"-M virt"*) block=riscv_virt_board.ram ;; *) block=ram ;; esac
    "$build/ferry-inspect" extract "$work/stream" --ram $block -o "$work/sent"
    touch "$here/ram.sha256"
    grep -v " $name\$" "$here/ram.sha256" > "$work/sums" || :
    if cmp "$work/ram" "$work/sent" >&2; then
        sum=$(sha256sum < "$work/ram")
        echo "${sum%% *} $name" >> "$work/sums"
    else
        echo "$name: the stream has not the source's RAM (QEMU 7.2 is known for it)" >&2
    fi
    sort -k2 "$work/sums" > "$here/ram.sha256"
    rm -f "$work/stream" "$work/ram"
    (cd "$here" && "$build/ferry-inspect" show "$name.mig.gz" > "$name.txt")
    (cd "$here" && "$build/ferry-inspect" verify "$name.mig.gz") >&2
}
to="migrate \"exec:cat > $work/stream\""
now="sleep 0.3; echo '$to'; sleep 1"
# several passes over what the guest writes, then the end
passes="echo 'migrate_set_capability xbzrle on'; echo 'migrate_set_parameter downtime-limit 1'
        echo 'migrate_set_parameter max-bandwidth 2M'; sleep 0.7; echo 'migrate -d \"exec:cat > $work/stream\"'
        sleep 1.2; echo 'migrate_set_parameter downtime-limit 2000'; sleep 1"
# the same, but what is written comes from outside, through qtest: 7.2 misses some of what a bare-metal
# loop writes (machine-virt specification, fact 6), and then has nothing to send as a delta
written="echo 'migrate_set_capability xbzrle on'; echo 'migrate_set_parameter downtime-limit 1'
         echo 'migrate_set_capability pause-before-switchover on'
         echo 'migrate_set_parameter max-bandwidth 1M'; sleep 0.7
         python3 '$here/write-pages.py' '$work/qtest' '$work/qmp' 0x80200000 & sleep 1
         echo 'migrate -d \"exec:cat > $work/stream\"'; wait
         echo 'migrate_continue pre-switchover'; sleep 1"

for v in 7.2 10.0; do
    if [ $v = 7.2 ]; then
        qemu=$q72 virt=virt thin=rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=0
    else
        qemu=$q10 virt=virt,acpi=off
        thin=rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,zicbom=off,zicbop=off,zicboz=off
        thin=$thin,zawrs=off,zfa=off,zihintntl=off,svadu=off,svvptc=off,sv57=off,pmu-mask=0
    fi
    capture none-$v "$now" $qemu -M none -m 1M -S
    capture none-cpu-$v "$now" $qemu -M none -m 2M -cpu rv64 \
        -device "loader,file=$build/tests/guest/bare-none-idle.elf"
    capture virt-$v "$now" $qemu -M $virt -m 4M -smp 2 -cpu $thin -bios none -kernel "$bare" \
        -append mode=idle
    capture virt-rv64-$v "$now" $qemu -M virt -m 2M -S -bios none
    capture virt-written-$v "$written" $qemu -M $virt -m 4M -cpu $thin -bios none -kernel "$bare" \
        -append mode=idle -S -qtest "unix:$work/qtest,server=on,wait=off" -qtest-log /dev/null \
        -qmp "unix:$work/qmp,server=on,wait=off"
    [ $v = 7.2 ] || capture virt-delta-$v "$passes" $qemu -M $virt -m 4M -cpu $thin -bios none -kernel "$bare" \
        -append "mode=loadgen size=256K"
    capture virt-virtio-$v "$now" $qemu -M $virt -m 2M -S -bios none -cpu $thin \
        -global virtio-mmio.force-legacy=false -device virtio-rng-device \
        -drive "if=none,id=d0,file=$work/disk,format=raw" -device virtio-blk-device,drive=d0 \
        -netdev socket,id=n0,udp=127.0.0.1:1,localaddr=127.0.0.1:0 \
        -device virtio-net-device,netdev=n0 -device virtio-serial-device
    capture none-uuid-$v "echo 'migrate_set_capability validate-uuid on'; $now" \
        $qemu -M none -m 1M -S -uuid 00112233-4455-6677-8899-aabbccddeeff
done
capture mapped-ram-10.0 "echo 'migrate_set_capability mapped-ram on'; sleep 0.3
    echo 'migrate file:$work/stream'; sleep 1" $q10 -M none -m 2M -cpu rv64 \
    -device "loader,file=$build/tests/guest/bare-none-idle.elf"
# each page once, while the guest runs on, and no END of ram
capture virt-snapshot-10.0 "echo 'migrate_set_capability background-snapshot on'; $now" $q10 -M virt,acpi=off -m 4M \
    -cpu $thin -bios none -kernel "$bare" -append mode=idle
# the founding document's layout: only Ferry writes it
capture fixed-ram-ferry "echo 'migrate_set_capability fixed-ram on'; sleep 0.3
    echo 'migrate file:$work/stream'; sleep 1" "$build/ferry-system-riscv64" -M none -m 2M -cpu rv64 \
    -device "loader,file=$build/tests/guest/bare-none-idle.elf"
# a writer that was killed: only Ferry's files tell
if [ -z "$only" ] || [ "$only" = part-ferry ]; then
    (echo "migrate_set_capability mapped-ram on"; echo "migrate_set_capability pause-before-switchover on"
     echo "migrate_set_parameter x-file-in-place on"; sleep 0.3; echo "migrate -d file:$work/stream"; sleep 2) |
        timeout -s KILL 1.5 "$build/ferry-system-riscv64" -M none -m 2M -cpu rv64 $common \
            -device "loader,file=$build/tests/guest/bare-none-idle.elf" > "$work/log" 2>&1 || :
    gzip -9nc "$work/stream" > "$here/part-ferry.part.gz"
    (cd "$here" && "$build/ferry-inspect" show part-ferry.part.gz > part-ferry.txt) || :
fi
# with a checksum of each page
capture mapped-ram-sums-ferry "echo 'migrate_set_capability mapped-ram on'; echo 'migrate_set_capability x-ram-checksum on'
    sleep 0.3; echo 'migrate file:$work/stream'; sleep 1" "$build/ferry-system-riscv64" -M none -m 2M -cpu rv64 \
    -device "loader,file=$build/tests/guest/bare-none-idle.elf"
du -ch "$here"/*.gz "$here"/*.txt | tail -1 >&2
