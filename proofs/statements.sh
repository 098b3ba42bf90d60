#!/bin/sh
# Writes STATEMENTS.txt, or the file that is named: the statement of each theorem of CLAIMS.md, as Coq prints it. Run after make.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{
  echo 'From Coq Require Import List Permutation ZArith Reals. From Flocq Require Import Core. From PaCA Require Import Finite.'
  sed -nE 's/^From PaCA Require (.*)$/From PaCA Require Import \1/p' Main.v
  echo 'Open Scope R_scope. Set Printing Width 120.'
  sed -nE 's/^Print Assumptions (.*)$/About \1/p' Main.v
} >"$folder/Statements.v"
coqc -q -Q . PaCA "$folder/Statements.v" >"$folder/out"
# About tells more after an empty line; the next statement begins at a line 'NAME :' of its own.
awk '/^[A-Za-z_.0-9]+ :( |$)/ { shown = 1 } /^$/ { if (shown) print ""; shown = 0 } shown' "$folder/out" | sed -E 's/ +$//' >"${1:-STATEMENTS.txt}"
