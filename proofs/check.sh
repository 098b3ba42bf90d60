#!/bin/sh
# Refuses unfinished proofs, and axioms beyond those that Coq's own real analysis uses. Run after make.
# The guarantee is coqchk's (part 4), which reads the compiled files: whatever a source is written like, an axiom shows there. Part 1
# reads the sources as text. It says sooner and more plainly what is wrong, and a determined author could get round it.
# Its last line is 'N passed, F failed': N rows of CLAIMS.md whose theorem passes Print Assumptions.
set -eu
cd "$(dirname "$0")"
files=$(grep '\.v$' _CoqProject)
allowed='ClassicalDedekindReals\.sig_(forall|not)_dec|FunctionalExtensionality\.functional_extensionality_dep|Classical_Prop\.classic'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "proofs: $1" >&2; exit 1; }

# 1. The sources, comments aside: no way round a proof, and no Variable or Hypothesis outside a Section, which is an axiom.
for f in *.v; do
  text=$(perl -0pe 's/\(\*.*?\*\)/my $c = $&; $c =~ s![^\n]!!g; $c/gse' "$f")
  if printf '%s\n' "$text" | grep -nwE '[A-Za-z_]*[Aa]dmit(s|ted)?|Declare +Module|give_up|Axioms?|Parameters?|Conjectures?|Abort|Primitive|bypass_check|type_in_type|Unset +(Guard|Positivity|Universe)[A-Za-z ]*'
  then fail "$f: unfinished proof or axiom"; fi
  printf '%s\n' "$text" | awk '
    /^[ \t]*Section[ \t]/ { open[++depth] = $2 }
    /^[ \t]*End[ \t]/ { if (depth > 0 && $2 == open[depth]) depth-- }
    depth == 0 && /(^|\.[ \t]+)[ \t]*(#\[[^]]*\][ \t]*)?((Local|Global)[ \t]+)?(Variables?|Hypothes[ie]s|Context)([ \t]|$)/ { print NR ": " $0; bad = 1 }
    END { exit bad }' || fail "$f: a hypothesis outside a section"
done
for f in *.v; do
  case " $(echo $files) Main.v Vectors.v " in *" $f "*) ;; *) fail "$f is not in _CoqProject" ;; esac
done

# Main.v requires and prints, and defines nothing: no name of its own can stand for a theorem's.
if perl -0pe 's/\(\*.*?\*\)//gs' Main.v | grep -vE '^(From PaCA Require [A-Za-z ]+\.|Print Assumptions [A-Za-z]+\.[A-Za-z0-9_]+\.|)$'
then fail 'Main.v: a line that is neither a Require nor a Print Assumptions'; fi

# 2. The rows of CLAIMS.md are the theorems of Main.v, in order.
rows=$(sed -nE 's/^\|.*\| `([A-Za-z]+)\.v`: `([A-Za-z0-9_]+)` \|.*/\1.\2/p' CLAIMS.md)
listed=$(sed -nE 's/^Print Assumptions ([A-Za-z]+\.[A-Za-z0-9_]+)\.$/\1/p' Main.v)
[ "$rows" = "$listed" ] || fail "CLAIMS.md and Main.v name different theorems"
[ -z "$(printf '%s\n' "$rows" | sort | uniq -d)" ] || fail "CLAIMS.md names a theorem twice"

# STATEMENTS.txt is what Coq prints today.
sh statements.sh "$scratch/statements"
diff STATEMENTS.txt "$scratch/statements" >&2 || fail "STATEMENTS.txt is not what the theorems say: run 'make statements'"

# 3. What each of them rests on, by coqc.
coqc -q -Q . PaCA Main.v >assumptions.log 2>&1 || { cat assumptions.log; fail "Main.v does not compile"; }
result=$(awk -v names="$(echo $rows)" -v allowed="^($allowed)\$" '
  BEGIN { count = split(names, name, " ") }
  /^(Axioms:|Closed under the global context)/ { answers++; next }
  /^[A-Za-z_]/ { if ($1 !~ allowed) { print "not ok " name[answers] ": " $1 > "/dev/stderr"; bad[answers] = 1 } }
  END {
    for (i in bad) failed++
    if (answers != count) { print "answers: " answers " of " count > "/dev/stderr"; failed++ }
    print answers - failed, failed + 0
  }' assumptions.log)
passed=${result% *}
failed=${result#* }

# 4. All of it again, by the independent checker.
chk=$(coqchk -silent -o -Q . PaCA $(for f in $files; do echo "PaCA.${f%.v}"; done) 2>&1) || fail "coqchk: $chk"
bad=$(printf '%s\n' "$chk" | sed -n '/^\* Axioms:/,/^\* Constants/p' | grep -oE '^    [^ ]+' | tr -d ' ' | sed -E 's/^Coq\.(Reals|Logic)\.//' | grep -vxE "$allowed" || true)
[ -z "$bad" ] || fail "coqchk: axioms not allowed: $bad"
[ "$(printf '%s\n' "$chk" | grep -c '<none>$')" = 3 ] || fail "coqchk: unsafe definitions: $chk"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
