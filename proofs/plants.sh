#!/bin/sh
# Plants what make check must refuse, each in a copy of its own, and expects a refusal that says why. Run after make check.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
refused=0

# refuse WHAT COMMAND…: the command must fail, and say this.
refuse() {
  what=$1
  shift
  if "$@" >"$folder/out" 2>&1; then echo "planted, and not refused: $what" >&2; exit 1; fi
  grep -q -- "$what" "$folder/out" || { cat "$folder/out"; echo "refused, and not for: $what" >&2; exit 1; }
  refused=$((refused + 1))
}

# plant TEXT WHAT: this at the end of Linear.v. check.sh reads the sources before anything else.
plant() {
  rm -rf "$folder/proofs"
  mkdir "$folder/proofs"
  cp -- *.v _CoqProject check.sh statements.sh CLAIMS.md STATEMENTS.txt "$folder/proofs"
  printf '%s\n' "$1" >>"$folder/proofs/Linear.v"
  refuse "$2" sh "$folder/proofs/check.sh"
}
plant 'Theorem planted : False. Proof. Admitted.' 'Linear.v: unfinished proof or axiom'
plant 'Theorem planted : False. Proof. admit. Qed.' 'Linear.v: unfinished proof or axiom'
plant 'Axiom planted : False.' 'Linear.v: unfinished proof or axiom'
plant 'Parameter planted : False.' 'Linear.v: unfinished proof or axiom'
plant 'Declare Module Planted.' 'Linear.v: unfinished proof or axiom'
plant 'Hypothesis planted : False.' 'Linear.v: a hypothesis outside a section'
plant 'Definition fine := tt. Variable planted : False.' 'Linear.v: a hypothesis outside a section'

# Main.v may not define, and CLAIMS.md may not name what Main.v does not print.
rm -rf "$folder/proofs"
mkdir "$folder/proofs"
cp -- *.v _CoqProject check.sh statements.sh CLAIMS.md STATEMENTS.txt "$folder/proofs"
echo 'Definition planted := tt.' >>"$folder/proofs/Main.v"
refuse 'Main.v: a line that is neither' sh "$folder/proofs/check.sh"
cp Main.v "$folder/proofs"
sed '$d' Main.v >"$folder/proofs/Main.v"
refuse 'CLAIMS.md and Main.v name different theorems' sh "$folder/proofs/check.sh"

# What no reading of the source finds, Print Assumptions and coqchk do: an axiom under a theorem, in a small copy.
mkdir "$folder/small"
cat >"$folder/small/Planted.v" <<'COQ'
Axiom planted : False.
Theorem claimed : 1 = 2. Proof. destruct planted. Qed.
Print Assumptions claimed.
COQ
coqc -q -Q "$folder/small" Small "$folder/small/Planted.v" >"$folder/printed"
grep -q '^planted' "$folder/printed" || { echo 'Print Assumptions is silent on an axiom' >&2; exit 1; }
coqchk -silent -o -Q "$folder/small" Small Small.Planted 2>&1 | grep -q 'Small.Planted.planted' ||
  { echo 'coqchk is silent on an axiom' >&2; exit 1; }
refused=$((refused + 2))

echo "$refused plants refused"
