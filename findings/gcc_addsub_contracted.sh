#!/usr/bin/env bash
# Versions:  GCC 12.2.0 (Debian's gcc-12 12.2.0-14+deb12u1), x86-64 with fused multiply-add.
# Behaviour: with -ffp-contract=off at -O3, a x - b and a x + b by turns, in neighbouring elements,
#            become one vfmaddsub, which rounds once: 2 of 8 results differ from the same source at
#            -O1. a x + b alone stays a product and a sum. The same happens under -std=c99, whose
#            default that option is, and where the signs are those of constants.
# Guess:     no fused operation anywhere, which is what the option is for.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -qq {gcc,cpp}-12=12.2.0-14+deb12u1 libgcc-12-dev=12.2.0-14+deb12u1 \
    {binutils-x86-64-linux-gnu,libbinutils,libctf0}=2.40-2 \
    libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 libgmp10=2:6.2.1+dfsg1-1.1 libjansson4=2.14-2 \
    2>"$dir/apt.log" || { cat "$dir/apt.log" >&2; exit 1; }
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$dir/root/usr/lib/x86_64-linux-gnu"
ln -s "$dir"/root/usr/bin/x86_64-linux-gnu-as as
ln -s "$dir"/root/usr/bin/x86_64-linux-gnu-ld ld
ln -s "$dir"/root/usr/bin/x86_64-linux-gnu-ld.bfd ld.bfd
cc() {
  "$dir/root/usr/bin/x86_64-linux-gnu-gcc-12" -B"$dir/" \
      -B"$dir/root/usr/lib/gcc/x86_64-linux-gnu/12/" -march=haswell "$@"
}

cat >turns.c <<'END'
void turns(const float *x, const float *b, float *out) {
  for (int i = 0; i < 8; i += 2) {
    out[i] = x[i] * 1.1f - b[i];
    out[i + 1] = x[i + 1] * 1.1f + b[i + 1];
  }
}
void sums(const float *x, const float *b, float *out) {
  for (int i = 0; i < 8; i++) out[i] = x[i] * 1.1f + b[i];
}
END
for level in O1 O3; do
  cc -$level -std=c99 -ffp-contract=off -S turns.c -o $level.s
  cc -shared -fPIC -nostdlib -$level -std=c99 -ffp-contract=off turns.c -o $level.so
  echo "-$level: $(grep -cE 'vfn?m(add|sub)' $level.s || true) fused instructions" \
      "$(grep -oE 'vfn?m(add|sub)[a-z0-9]*' $level.s | sort -u | tr '\n' ' ')"
done
grep -q vfmaddsub O3.s
[ "$(grep -cE 'vfn?m(add|sub)' O1.s || true)" = 0 ]

python3 -I - "$dir" <<'END'
import ctypes
import sys

Eight = ctypes.c_float * 8
x = Eight(*(1.0 + i / 7 for i in range(8)))
b = Eight(*(0.3 + i / 11 for i in range(8)))


def computed(level, name):
    out = Eight()
    getattr(ctypes.CDLL(f"{sys.argv[1]}/{level}.so"), name)(x, b, out)
    return list(out)


for name in ("turns", "sums"):
    apart, fused = computed("O1", name), computed("O3", name)
    differ = sum(a != f for a, f in zip(apart, fused))
    print(f"{name}: {differ} of 8 results differ between -O1 and -O3")
    assert (differ > 0) == (name == "turns")
END
