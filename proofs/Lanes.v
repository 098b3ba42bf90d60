(** core/ops.ts: the orders in which the engine adds, as trees in which each index stands once.

    Intuition: a vector unit adds sixteen sums at a time and then folds them; that is one fixed tree, and fixed is all that
    the bits ask for. *)
From Coq Require Import List Permutation Arith Lia.
From Coq Require Fin.
From PaCA Require Import Finite Reduction.
Import ListNotations.

(** sumLast: element i goes to lane i mod 16, each lane from 0 in order; then lane j takes j + 8, j + 4, j + 2, j + 1. *)
Definition LANES := 16.
Fixpoint node_each {I} (ls rs : list (rtree I)) : list (rtree I) :=
  match ls, rs with l :: ls, r :: rs => Node l r :: node_each ls rs | _, _ => [] end.
Fixpoint halves {I} (times : nat) (ts : list (rtree I)) : list (rtree I) :=
  match times with
  | O => ts
  | S k => let h := length ts / 2 in halves k (node_each (firstn h ts) (skipn h ts))
  end.
Definition lane {I} (key : I -> nat) (l : list I) (j : nat) : rtree I := comb (filter (fun i => key i =? j) l).
Definition lanes {I} (key : I -> nat) (l : list I) : rtree I :=
  hd Zero (halves 4 (map (lane key l) (seq 0 LANES))).

Lemma node_each_leaves {I} (ls rs : list (rtree I)) : length ls = length rs ->
  Permutation (flat_map leaves (node_each ls rs)) (flat_map leaves ls ++ flat_map leaves rs).
Proof.
  revert rs; induction ls as [| l ls IH]; intros [| r rs] e; simpl in *; try discriminate; auto.
  injection e; intros e'; specialize (IH rs e').
  rewrite <- !app_assoc; apply Permutation_app_head.
  rewrite IH, !app_assoc; apply Permutation_app_tail, Permutation_app_comm.
Qed.

Lemma node_each_length {I} (ls rs : list (rtree I)) : length ls = length rs -> length (node_each ls rs) = length ls.
Proof.
  revert rs; induction ls as [| l ls IH]; intros [| r rs] e; simpl in *; try discriminate; auto.
Qed.

Lemma halves_leaves {I} k : forall ts : list (rtree I), length ts = 2 ^ k ->
  length (halves k ts) = 1 /\ Permutation (flat_map leaves (halves k ts)) (flat_map leaves ts).
Proof.
  induction k as [| k IH]; intros ts e; cbn [halves]; [simpl in e; auto |].
  assert (h : length ts / 2 = 2 ^ k) by (rewrite e, Nat.pow_succ_r', Nat.mul_comm; apply Nat.div_mul; lia).
  rewrite h.
  assert (p : length ts = 2 ^ k + 2 ^ k) by (rewrite e; simpl; lia).
  assert (lf : length (firstn (2 ^ k) ts) = 2 ^ k) by (rewrite firstn_length; lia).
  assert (ls : length (skipn (2 ^ k) ts) = 2 ^ k) by (rewrite skipn_length; lia).
  destruct (IH (node_each (firstn (2 ^ k) ts) (skipn (2 ^ k) ts))) as [one perm];
    [rewrite node_each_length; lia |].
  split; auto; rewrite perm, node_each_leaves, <- flat_map_app by lia; now rewrite firstn_skipn.
Qed.

Lemma lanes_cover {I} (key : I -> nat) (l : list I) n :
  Permutation (flat_map (fun j => filter (fun i => key i =? j) l) (seq 0 n)) (filter (fun i => key i <? n) l).
Proof.
  induction n as [| n IH].
  - simpl; replace (filter (fun i => key i <? 0) l) with (@nil I); auto.
    induction l as [| i l IH]; simpl; auto.
  - rewrite seq_S, flat_map_app, IH; simpl; rewrite app_nil_r; clear IH.
    induction l as [| i l IHl]; simpl; auto.
    destruct (Nat.ltb_spec (key i) n), (Nat.eqb_spec (key i) n), (Nat.ltb_spec (key i) (S n)); try lia; simpl; auto.
    rewrite <- IHl; symmetry; apply Permutation_middle.
Qed.

Theorem lanes_once {I} (key : I -> nat) (l : list I) : (forall i, key i < LANES) ->
  Permutation (leaves (lanes key l)) l.
Proof.
  intros below; unfold lanes.
  destruct (halves_leaves 4 (map (lane key l) (seq 0 LANES))) as [one perm]; [reflexivity |].
  destruct (halves 4 _) as [| t [| ? ?]] eqn:e; try discriminate one; cbn [hd].
  change (flat_map leaves [t]) with (leaves t ++ []) in perm.
  rewrite app_nil_r in perm; rewrite perm, flat_map_concat_map, map_map, <- flat_map_concat_map.
  rewrite (flat_map_ext _ (fun j => filter (fun i => key i =? j) l)) by (intros; unfold lane; apply comb_leaves).
  rewrite lanes_cover.
  replace (filter (fun i => key i <? LANES) l) with l; auto.
  clear - below; induction l as [| i l IH]; simpl; auto.
  destruct (Nat.ltb_spec (key i) LANES); [now f_equal | specialize (below i); lia].
Qed.

Definition place {n} (i : Fin.t n) : nat := proj1_sig (Fin.to_nat i).
Definition lane_order {n} : order (Fin.t n).
Proof.
  refine {| tree := lanes (fun i => place i mod LANES) (enum (Fin.t n)) |}.
  apply lanes_once; intros i; apply Nat.mod_upper_bound; discriminate.
Defined.

(** Gradients of micro-batches: the first, and each next one added to it. *)
Definition from_first {I} (i : I) (l : list I) : rtree I := fold_left (fun t i => Node t (Leaf i)) l (Leaf i).
Definition accumulation_order {n} : order (Fin.t (S n)).
Proof.
  refine {| tree := from_first Fin.F1 (map Fin.FS (fin_enum n)) |}.
  enough (h : forall (l : list (Fin.t (S n))) t,
    leaves (fold_left (fun t i => Node t (Leaf i)) l t) = leaves t ++ l) by (unfold from_first; now rewrite h).
  induction l as [| i l IH]; intros t; simpl; [now rewrite app_nil_r | rewrite IH; simpl; now rewrite <- app_assoc].
Defined.
