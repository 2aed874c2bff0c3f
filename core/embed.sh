#!/bin/sh
# core/embed.sh OUT.S FILE... -- an assembler file that puts each FILE into .rodata, and the sorted table that core/embed.c reads.
set -eu
out=$1; shift
{
    n=0
    echo '.section .rodata'
    for f in $(printf '%s\n' "$@" | LC_ALL=C sort); do
        printf 'n%d: .asciz "%s"\n.balign 16\nb%d: .incbin "%s"\ne%d: .byte 0\n' $n "$f" $n "$f" $n
        n=$((n + 1))
    done
    echo '.section .data.rel.ro,"aw"'
    printf '.balign 8\n.global embed_table\nembed_table:\n'
    i=0
    while [ $i -lt $n ]; do printf '.quad n%d, b%d, e%d\n' $i $i $i; i=$((i + 1)); done
    printf '.quad 0, 0, 0\n.section .note.GNU-stack,"",@progbits\n'
} > "$out.tmp"
mv "$out.tmp" "$out"
