#!/bin/bash
# tests/lint/lint.sh -- the architecture, checked: who includes whom, one door a library, sizes, first lines, words that stay out.
set -u
cd "$(dirname "$0")/../.."
bad=0
say() { echo "$*"; bad=1; }

# Folder -> folders it may name besides itself (DESIGN §2).
allow() {
    case $1 in
        core)      echo "" ;;
        db)        echo "core" ;;
        ops)       echo "core db" ;;
        scheduler) echo "core" ;;
        identity)  echo "core db ops" ;;
        image)     echo "core db ops identity" ;;
        network|storage) echo "core db ops identity image" ;;
        compute)   echo "core db ops identity image network storage scheduler" ;;
        */agent)   echo "core" ;;
        api)       echo "core db ops identity" ;;
        cmd)       echo "core db ops identity image network storage compute scheduler api compute/agent network/agent storage/agent" ;;
    esac
}
# Library header -> the only files that may include it.
door() {
    case $1 in
        sqlite3.h)          echo 'db/*' ;;
        microhttpd.h)       echo 'api/http.c' ;;
        libvirt/*)          echo 'compute/agent/virt*' ;;
        netlink/*)          echo 'network/agent/link*' ;;
        nftables/*)         echo 'network/agent/nft_apply.c' ;;
        spawn.h|sys/wait.h) echo 'core/proc.c' ;;
        *)                  echo '*' ;;
    esac
}
files=$(git ls-files '*.c' '*.h' | grep -v '^tests/')
for f in $files; do
    dir=${f%/*}
    for inc in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f"); do
        to=${inc%/*} name=${inc##*/}
        [ "$to" = "$dir" ] && continue
        ok=0
        for a in $(allow "$dir"); do [ "$a" = "$to" ] && ok=1; done
        case $to in                                  # another domain: its public header only
            core|db|ops|*/agent) ;;
            api) [ "$dir" = cmd ] || ok=0 ;;
            *) [ "$name" = "$to.h" ] || ok=0 ;;
        esac
        case $f in api/registry.c) [ "$name" = "$to.h" ] && ok=1 ;; esac
        case $inc in db/internal.h) [ "$dir" = db ] || ok=0 ;; esac
        [ $ok = 1 ] || say "$f: may not include \"$inc\""
    done
    for inc in $(sed -n 's/^#include <\([^>]*\)>.*/\1/p' "$f"); do
        # shellcheck disable=SC2254
        case $f in $(door "$inc")) ;; *) say "$f: <$inc> has another door: $(door "$inc")" ;; esac
    done
    n=$(wc -l <"$f")
    [ "$n" -le 800 ] || say "$f: $n lines; 800 at most"
    case $(head -n 1 "$f") in
        "/* $f -- "*) ;;
        *) say "$f: the first line must be '/* $f -- one sentence. */'" ;;
    esac
    perl -CSD -ne 'chomp; $fence = 1 if /clang-format off/; $fence = 0 if /clang-format on/;
        if (length > ($fence ? 200 : 150)) { printf "%s:%d: %d columns\n", $ARGV, $., length; $bad = 1 } END { exit($bad // 0) }' "$f" || bad=1
    case $f in *.c)
        # A function starts at a line "{" in column 1 and ends at "}".
        awk -v f="$f" '/^\{/ { start = NR } /^\}/ { if (start && NR - start > 80) { printf "%s:%d: function of %d lines; 70 at most\n", f, start, NR - start; bad = 1 } start = 0 } END { exit bad }' "$f" || bad=1
    ;; esac
done
# Functions that take a shell or no length.
grep -nwE 'system|popen|strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|rand|atoi|mktemp|tmpnam' $files | grep -vE '^[^:]*:[0-9]+: *(/?\*|//)|"[^"]*\b(system|rand)\b[^"]*"|/\*.*\b(system|popen|rand)\b' |
    grep -E '\b(system|popen|strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|rand|atoi|mktemp|tmpnam) ?\(' && bad=1
grep -nE '^\s*(else )?goto [a-z_]+;' $files && bad=1
grep -nwE 'TODO|FIXME|XXX|HACK' $files && bad=1
# Statements and fragments that no program names.
for s in $(LC_ALL=C comm -23 <(sed -nE 's/^-- :(name|fragment) (\w+).*/\2/p' db/queries/*.sql | LC_ALL=C sort -u) \
                             <(grep -ohE '"\w+"' $files | tr -d '"' | LC_ALL=C sort -u)); do say "db/queries: nothing names $s"; done
for s in $(git ls-files '*.sh'); do bash -n "$s" || bad=1; done
[ $bad = 0 ] && echo "lint: $(echo "$files" | wc -l) files, clean"
exit $bad
