#!/bin/sh
# Writes vectors/proofs/doubles.json: what Coq computes in Vectors.v, one array a line. Run after make.
set -eu
cd "$(dirname "$0")"
mkdir -p ../vectors/proofs
coqc -q -w -inexact-float -Q . PaCA Vectors.v >vectors.log || { cat vectors.log; exit 1; }
{
  echo '{'
  # = ("name"%string, [1; (-2)])  →  "name": [1, -2],  and no comma after the last one
  sed -nE 's/^ *= \("([a-z0-9.]+)"%string, \[(.*)\]\)$/  "\1": [\2],/p' vectors.log | sed -E 's/;/,/g; s/[()]//g; $ s/,$//'
  echo '}'
} >../vectors/proofs/doubles.json
