#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Busybox applets and shell constructs; what this prints depends on nothing but the kernel working. Standard output and
# standard error together are compared byte for byte with expected.txt, which regenerate.sh makes.
# Usage: busybox sh applets.sh 2>&1 | cat   (not a terminal: ls would print columns). /bin holds busybox and its links.
export PATH=/bin TZ=UTC0 LC_ALL=C
umask 022
rm -rf /tmp/applets
mkdir -p /tmp/applets
cd /tmp/applets || exit 1
number=0
section() {
    number=$((number + 1))
    echo "== $number $*"
}

section echo and printf
echo "plain  text" 'single $quoted' "tab	kept"
printf '%s-%05d-%x-%c-%%\n' word 42 255 z
printf '%-6s|%6s|\n' left right
printf '%b' 'octal \0101 newline\n'

section arithmetic
echo $((1 + 2 * 3)) $(((1 + 2) * 3)) $((7 % 3)) $((1 << 40)) $((-7 / 2)) $((0x1f)) $((017))
i=5
echo $((i++)) $i $((--i)) $((i > 4 ? 10 : 20)) $((i == 5 && i != 6))

section parameter expansion
path=/usr/local/lib/file.tar.gz
echo "${path##*/}" "${path%.*}" "${path%%.*}" "${path#/}" "${#path}"
unset none
echo "${none:-default}" "${none:=assigned}" "$none" "${none:+other}"
echo "${path/local/share}" "${path//l/L}" "${path:5:5}"

section quoting and field splitting
set -- "a b" c "d  e"
echo $# "$1" "$3"
for w in "$@"; do echo "<$w>"; done
for w in $*; do echo "[$w]"; done
IFS=:
set -- $(echo x:y:z)
unset IFS
echo $# $2

section loops
for i in 1 2 3; do
    for j in a b; do
        [ $i = 2 ] && continue 2
        echo "$i$j"
    done
done
n=0
while [ $n -lt 3 ]; do n=$((n + 1)); echo "while $n"; done
until [ $n -eq 0 ]; do n=$((n - 1)); done
echo "until $n"

section case
for w in apple bat 42 x.c ''; do
    case $w in
    a*) echo "$w starts with a" ;;
    [0-9]*) echo "$w is a number" ;;
    *.c | *.h) echo "$w is C" ;;
    '') echo "empty" ;;
    *) echo "$w is other" ;;
    esac
done

section functions
factorial() {
    local n=$1
    if [ "$n" -le 1 ]; then echo 1; else echo $((n * $(factorial $((n - 1))))); fi
}
factorial 10
returns() { return $1; }
returns 7
echo $?

section here-documents
word=expanded
cat <<END
here $word $((1 + 1)) $(echo command)
END
cat <<'END'
here $word $((1 + 1)) $(echo command)
END
cat <<-END
	tabs are stripped
	END

section redirection
echo one > file
echo two >> file
cat < file
{ echo out; echo err >&2; } > both 2>&1
cat both
{ echo out; echo err >&2; } 2> /dev/null
exec 3> third
echo through three >&3
exec 3>&-
cat third
ls no-such-file 2>&1 | sed 's/^[^:]*: //'
exec 4< file
read first <&4
read second <&4
exec 4<&-
echo "$second $first"

section noclobber
set -C
(echo again > file) 2> /dev/null || echo refused
echo forced >| file
set +C
cat file

section pipelines
echo hello | tr a-z A-Z | rev | cat -n
seq 1 1000 | grep 7 | wc -l
seq 1 20 | sed -n '5,10p' | sort -rn | head -n 3 | tail -n 1
yes | head -n 3
false | true
echo $?
! false
echo $?

section command substitution
echo "nested $(echo "inner $(echo deepest)")"
echo `echo back \`echo ticks\``
lines=$(printf 'a\nb\n\n\n')
echo "$lines" | wc -l

section subshells
x=outer
(x=inner; cd /; echo "$x $(pwd)")
echo "$x $(pwd)"
(exit 9)
echo $?
{ x=group; }
echo $x

section background jobs
(sleep 0.5; echo slow) &
slow=$!
(echo fast) &
wait $!
wait $slow
echo "status $?"
(exit 5) &
wait $!
echo "status $?"
sleep 100 &
kill $!
wait $! 2> /dev/null
echo "status $?"

section many background jobs
for i in 1 2 3 4 5 6 7 8; do (echo $i > job.$i) & done
wait
cat job.*
rm job.*

section traps
sh -c 'trap "echo leaving" EXIT; echo working'
sh -c 'trap "echo got TERM; exit 3" TERM; kill -TERM $$; echo not here'
echo $?
sh -c 'trap "" INT; kill -INT $$; echo ignored INT'
sh -c 'trap "echo usr1" USR1; (sleep 0.5; kill -USR1 $$) & wait; echo wait gave $?; wait; echo done'
sh -c 'kill -KILL $$'
echo $?
sh -c 'kill -SEGV $$' 2> /dev/null
echo $?

section errexit and nounset
sh -ec 'echo before; false; echo after'
echo $?
sh -uc 'echo $undefined_variable' 2> /dev/null
echo $?

section logical lists
true && echo and
false || echo or
true && false || echo both
[ -d /tmp -a ! -f /tmp ] && echo test-a

section test
touch -d '2020-01-01 00:00' old
touch -d '2021-01-01 00:00' new
[ new -nt old ] && echo newer
[ -s old ] || echo empty
[ -r old ] && [ -w old ] && [ ! -x old ] && echo rw
[ abc \< abd ] && echo before
[[ hello == h*o ]] && echo pattern

section read
printf 'a b c\nd e f\n' | while read -r x rest; do echo "$x:$rest"; done
echo 'one,two,three' | { IFS=, read -r a b c; echo "$c $b $a"; }

section eval and positional parameters
command='echo evaluated $((2 * 21))'
eval "$command"
set -- a b c d
shift 2
echo "$@" $#

section getopts
parse() {
    OPTIND=1
    while getopts ab:c option; do echo "$option ${OPTARG:-}"; done
    shift $((OPTIND - 1))
    echo "rest $*"
}
parse -a -b value -c more words

section globbing
touch g1.txt g2.txt g3.dat .hidden
echo *.txt g?.* [!.]*.dat
echo no-match-*

section exec
(exec echo replaced)
sh -c 'exec sh -c "exit 4"'
echo $?

section environment
VAR=only env | grep ^VAR
export KEPT=yes
sh -c 'echo $KEPT'
env -i A=1 B=2 env | sort
printenv KEPT 2> /dev/null || env | grep ^KEPT=

section cat, tac, rev, nl
printf 'first\nsecond\nthird\n' > lines
cat -n lines
tac lines
rev lines
nl lines

section head and tail
seq 1 100 > hundred
head -n 2 hundred
tail -n 2 hundred
head -c 5 hundred | od -c
tail -n +99 hundred

section wc
wc hundred
wc -l < hundred
wc -c hundred

section sort and uniq
printf 'pear 3\napple 10\nfig 2\napple 10\n' > fruit
sort fruit
sort -u fruit
sort -k2 -n fruit
sort -r fruit | uniq -c
sort fruit | uniq -d

section cut, paste, tr
printf 'a:b:c\nd:e:f\n' > colon
cut -d: -f1,3 colon
cut -c2-4 colon
paste colon colon
paste -s -d, colon
tr -d ':' < colon
echo aabbccdd | tr -s a-c
echo hello | tr 'a-y' 'b-z'

section set operations with grep
printf 'a\nb\nc\n' > set1
printf 'b\nc\nd\n' > set2
grep -vxFf set2 set1
grep -xFf set2 set1

section grep
printf 'The cat\nthe dog\nA bird\ncat and dog\n' > animals
grep cat animals
grep -i '^the' animals
grep -c dog animals
grep -n -v cat animals
grep -E 'cat|bird' animals
grep -o 'd.g' animals
grep -q absent animals
echo $?

section sed
sed 's/cat/lion/' animals
sed -n '/dog/p' animals
sed -e '1d' -e 's/\(.*\) and \(.*\)/\2 and \1/' animals
sed 's/[aeiou]/*/g;2q' animals
sed '/bird/i\
inserted' animals
sed -i 's/dog/wolf/' animals
cat animals

section awk
awk '{ print NR ": " $NF }' animals
awk -F: '{ s = s $2 } END { print s, NR }' colon
seq 1 10 | awk '{ t += $1; p = p * 1 + $1 } END { printf "%d %.2f\n", t, t / NR }'
awk 'BEGIN { for (i = 0; i < 3; i++) a[i] = i * i; for (i = 0; i < 3; i++) print a[i], length("xyz"), substr("hello", 2, 3) }'
echo 'b 2
a 1
b 3' | awk '{ c[$1] += $2 } END { for (k in c) print k, c[k] }' | sort
awk 'BEGIN { "echo piped" | getline line; print line; print "sorted" | "cat"; close("cat"); system("echo system") }'
awk 'BEGIN { print toupper("up"), index("hello", "l"), match("foobar", /o+/), RSTART, RLENGTH; print sprintf("%5.1f|", 2.25), int(3.9) }'

section xargs
seq 1 10 | xargs -n 3 echo
printf 'x y\nz\n' | xargs -I {} echo '<{}>'
printf 'a\0b c\0' | xargs -0 -n 1 echo
echo 1 2 3 | xargs sh -c 'echo $# $0 $1'
seq 1 200 | xargs -n 5 sh -c 'exit 0' sh
echo $?
echo | xargs false
echo $?

section find
mkdir -p tree/a/b tree/c
touch tree/one tree/a/two.c tree/a/b/three.c tree/c/four.h
ln -s ../one tree/c/link
find tree | sort
find tree -name '*.c' | sort
find tree -type d | sort
find tree -type l
find tree -name '*.h' -exec echo found {} \;
find tree -type f | sort | xargs ls
find tree -maxdepth 1 -mindepth 1 | sort
find tree -name '*.c' -o -name '*.h' | sort
find tree -empty -type f | wc -l
find tree -name two.c -exec rm {} +
find tree -name '*.c'

section ls
ls tree
ls -1 -F tree
ls -R tree
ln tree/one tree/hard
ls -l tree/one | awk '{ print $1, $2, $5 }'
chmod 4751 tree/one
ls -l tree/one | cut -c1-10

section cp, mv, rm
cp lines lines.copy
cmp lines lines.copy && echo same
cp -r tree tree2
mv lines.copy moved
cat moved
mv moved tree2/
find tree2 | sort
rm -r tree2
ls -d tree2 2> /dev/null || echo gone
cp -a tree tree3
ls -l tree3/c/link | awk '{ print $1, $9, $10, $11 }'

section links
ln -s target symbolic
readlink symbolic
ln -s lines soft
cat soft
ln lines hard
stat -c '%h %s %F' lines
rm lines
cat hard
cat soft 2> /dev/null || echo dangling
mv hard lines
realpath soft
ln -sf fruit soft
readlink -f soft

section stat, touch, chmod, umask
touch -d '2024-02-29 12:34:56' dated
stat -c '%n %a %s %Y %u %g' dated
chmod u=rwx,g=rx,o= dated
stat -c %A dated
(umask 077; touch private; stat -c %a private)
date -r dated '+%Y-%m-%d %H:%M:%S'

section mkdir and rmdir
mkdir -p d1/d2/d3
mkdir d1 2> /dev/null || echo exists
mkdir -m 700 d4
stat -c %a d4
rmdir d1 2> /dev/null || echo not empty
rmdir -p d1/d2/d3
ls -d d1 2> /dev/null || echo gone

section mkfifo
mkfifo pipe
(cat pipe > from-pipe) &
echo through a fifo > pipe
wait
cat from-pipe
stat -c %F pipe

section tar
tar -cf tree.tar tree
tar -tf tree.tar | sort
mkdir out
tar -xf tree.tar -C out
diff -r tree out/tree && echo identical
ls -l out/tree/one | cut -c1-10
tar -czf tree.tgz tree
tar -tzf tree.tgz | wc -l
tar -xzOf tree.tgz tree/a/b/three.c | wc -c
tar -cf - tree | (cd out && rm -r tree && tar -xf -)
ls out

section cpio
(cd tree && find . | sort | cpio -o -H newc 2> /dev/null) > tree.cpio
cpio -t < tree.cpio 2> /dev/null | sort
mkdir out2
(cd out2 && cpio -id < ../tree.cpio 2> /dev/null)
diff -r tree out2 && echo identical

section gzip and friends
seq 1 5000 > big
gzip -c big > big.gz
zcat big.gz | cmp - big && echo gzip
gunzip -c big.gz | tail -n 1
bzip2 -c big > big.bz2
bzcat big.bz2 | cmp - big && echo bzip2
cp big packed
gzip packed
ls packed*
gunzip packed.gz
cmp packed big && echo round trip
gzip -t big.gz && echo tested

section checksums
sha256sum big
sha1sum big
sha512sum big
md5sum big
sha3sum big
cksum=$(crc32 big 2> /dev/null | cut -c1-8)
echo "$cksum"
sha256sum big animals > sums
sha256sum -c sums
echo changed >> animals
sha256sum -c sums 2> /dev/null
echo $?

section dd
dd if=big of=part bs=100 count=3 skip=2 2> /dev/null
wc -c part
dd if=/dev/zero bs=1024 count=64 2> /dev/null | sha256sum
dd if=/dev/zero of=sparse bs=1 count=1 seek=1048575 2> /dev/null
stat -c %s sparse
printf XYZ | dd of=part bs=1 seek=10 conv=notrunc 2> /dev/null
head -c 20 part | tail -c 10
echo
dd if=big bs=4096 2>&1 > /dev/null | sed -n 1,2p
printf abcd | dd conv=swab 2> /dev/null
echo

section od, hexdump, xxd
printf 'ABC\001\377' | od -c
printf 'ABC\001\377' | od -t x1
printf 'ABC\001\377' | hexdump -C
printf 'ABC\001\377' | xxd
printf 4142430a | xxd -r -p

section base64 and uuencode
head -c 40 big | base64
head -c 40 big | base64 | base64 -d | cmp - part 2> /dev/null || echo compared
printf 'some bytes' | uuencode -m name
printf 'some bytes' | uuencode name | uudecode -o /dev/stdout
echo

section diff, cmp and patch
printf 'a\nb\nc\nd\n' > v1
printf 'a\nB\nc\nd\ne\n' > v2
diff -u v1 v2 | sed 1,2d
echo "status $(diff v1 v2 > /dev/null; echo $?)"
diff -u v1 v2 > v.patch
cp v1 v3
patch v3 < v.patch
cmp v2 v3 && echo patched
cmp v1 v2
echo $?

section expr, seq, factor, bc, dc
expr 6 \* 7
expr length hello
expr hello : 'h\(.*\)o'
seq 2 3 11
seq -s , 5
seq -w 8 11
factor 360 97 1000000007
echo '2^64; scale=5; 22/7; sqrt(2)' | bc
echo '2 3 + 4 * p' | dc

section basename, dirname
basename /a/b/c.txt .txt
dirname /a/b/c.txt
basename /

section date and cal
date -u -d @0 '+%Y-%m-%d %H:%M:%S %a %j'
date -u -d '2024-02-29 00:00:00' +%s
date -u -d @1700000000 '+%D %T %p'
cal 2 2024

section fold, expand, unexpand, strings
echo 'a long line of words that folds' | fold -w 10
echo 'word word word' | fold -s -w 6
printf 'a\tb\n' | expand -t 4
printf '        x\n' | unexpand
printf '\001\002readable text\003\004ab\000more text here\n' | strings

section tee and truncate
echo teed | tee t1 t2 | tr a-z A-Z
cat t1 t2
truncate -s 10 t1
wc -c < t1
truncate -s 2 t1
cat t1
echo

section sleep, timeout, usleep
timeout 5 true
echo $?
timeout 0.3 sleep 10
echo $?
usleep 1000 && echo slept

section kill and signals by name
kill -l 15
kill -l TERM
sleep 50 &
pid=$!
kill -STOP $pid
kill -CONT $pid
kill -0 $pid && echo alive
kill -9 $pid
wait $pid 2> /dev/null
echo $?
kill -0 $pid 2> /dev/null || echo dead

section id
id -u
id -g

section tr and sort on larger data
seq 1 3000 | sort -n -r | sha256sum
seq 1 3000 | tr '0-9' 'a-j' | sort | sha256sum
seq 1 3000 | awk '{ print $1 % 17, $1 }' | sort -n -k1,1 -k2,2 | md5sum

section a large pipeline
dd if=/dev/zero bs=65536 count=32 2> /dev/null | tr '\0' x | gzip -c | gunzip -c | wc -c
seq 1 20000 | cat | cat | cat | cat | cat | sha256sum

section a loop of processes
i=0
while [ $i -lt 100 ]; do
    /bin/true || echo failed
    i=$((i + 1))
done
echo $i

section deep subshells
(((((((echo deep)))))))
sh -c 'sh -c "sh -c \"echo three shells\""'

section scripts with an interpreter line
printf '#!/bin/sh\necho script $0 $1\nexit 6\n' > script
chmod +x script
./script argument
echo $?
printf 'echo no interpreter line $1\n' > bare
chmod +x bare
./bare word
printf '#!/bin/awk -f\nBEGIN { print "awk script", ARGV[1] }\n' > awkscript
chmod +x awkscript
./awkscript here
./no-such 2> /dev/null
echo $?
./lines 2> /dev/null
echo $?

section temporary files
name=$(mktemp /tmp/applets/tmp.XXXXXX)
[ -f "$name" ] && echo made
rm "$name"
dir=$(mktemp -d /tmp/applets/dir.XXXXXX)
[ -d "$dir" ] && rmdir "$dir" && echo directory

section ed
printf '1,2d\n$a\nappended\n.\nw\nq\n' | ed hundred > /dev/null
head -n 1 hundred
tail -n 1 hundred

section shuf, which, dos2unix
seq 1 50 | shuf | sort -n | md5sum
which sh cat
printf 'a\r\nb\r\n' > crlf
dos2unix crlf
od -c crlf
unix2dos crlf
wc -c < crlf

section du and df
mkdir usage
dd if=/dev/zero of=usage/file bs=1024 count=64 2> /dev/null
[ "$(du -s usage | cut -f1)" -ge 64 ] && echo counted
df | head -n 1 | cut -c1-10

section processes
sh -c 'echo $PPID' > ppid
[ "$(cat ppid)" = $$ ] && echo parent
pidof no-such-program || echo none
sleep 77 &
pid=$!
[ -d /proc/$pid ] && echo listed
ps -o pid | grep -c "^ *$pid\$"
kill $pid
wait $pid 2> /dev/null
time true 2> /dev/null
setsid sh -c 'echo new session'
start-stop-daemon -S -x /bin/echo -- started

section locking with mkdir
mkdir lock && echo taken
mkdir lock 2> /dev/null || echo held
rmdir lock && echo released

section proc
[ -r /proc/$$/stat ] && cut -d' ' -f2 /proc/$$/stat | tr -d '()' > comm && [ -s comm ] && echo stat
grep -c ^PPid: /proc/self/status
grep -c ' r.xp .*busybox' /proc/self/maps
[ -s /proc/meminfo ] && [ -s /proc/uptime ] && [ -s /proc/mounts ] && echo kernel files
ls /proc/self/fd | head -n 1
readlink /proc/self/cwd

section devices
head -c 8 /dev/zero | od -t x1
head -c 16 /dev/urandom | wc -c
echo lost > /dev/null
cat /dev/null | wc -c
(echo full > /dev/full) 2> /dev/null || echo no space
[ -c /dev/null ] && echo character device

section last words
cd /
rm -rf /tmp/applets
[ -e /tmp/applets ] || echo clean
echo "$number sections"
