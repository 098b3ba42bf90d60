(** Sums in a declared order.  Floating-point addition is not associative, so an order is part of the specification: a tree
    with each index at one leaf.  [Zero] stands for an accumulator that starts at 0 and for a lane that is padded with 0. *)
From Coq Require Import List Permutation Reals Lra.
From PaCA Require Import Finite.
Import ListNotations.

Inductive rtree (I : Type) : Type :=
| Zero : rtree I
| Leaf : I -> rtree I
| Node : rtree I -> rtree I -> rtree I.
Arguments Zero {I}.
Arguments Leaf {I} _.
Arguments Node {I} _ _.

Fixpoint leaves {I} (t : rtree I) : list I :=
  match t with Zero => [] | Leaf i => [i] | Node l r => leaves l ++ leaves r end.

Fixpoint rmap {I J} (f : I -> J) (t : rtree I) : rtree J :=
  match t with Zero => Zero | Leaf i => Leaf (f i) | Node l r => Node (rmap f l) (rmap f r) end.

(** A tree of trees. *)
Fixpoint rbind {I J} (t : rtree I) (f : I -> rtree J) : rtree J :=
  match t with Zero => Zero | Leaf i => f i | Node l r => Node (rbind l f) (rbind r f) end.

Fixpoint red {A I} (zero : A) (add : A -> A -> A) (t : rtree I) (f : I -> A) : A :=
  match t with
  | Zero => zero
  | Leaf i => f i
  | Node l r => add (red zero add l f) (red zero add r f)
  end.

(** Every index is added, and added once. *)
Record order (I : Type) `{Finite I} := {
  tree :> rtree I;
  each_once : Permutation (leaves tree) (enum I) }.
Arguments tree {I _} _.

(** ** The orders of the engine *)

(** From the first index to the last, starting at 0: [acc = 0; for i: acc = acc + f(i)]. *)
Definition comb {I} (l : list I) : rtree I := fold_left (fun t i => Node t (Leaf i)) l Zero.

Lemma comb_leaves {I} (l : list I) : leaves (comb l) = l.
Proof.
  unfold comb; change l with (leaves (Zero (I := I)) ++ l) at 2; generalize (Zero (I := I)).
  induction l as [| i l IH]; intros t; simpl; [now rewrite app_nil_r | rewrite IH; simpl].
  now rewrite <- app_assoc.
Qed.

Definition sequential {I} `{Finite I} : order I.
Proof. refine {| tree := comb (enum I) |}; now rewrite comb_leaves. Defined.

(** The sequential order is the loop that the reference runs. *)
Theorem sequential_is_the_loop {A I} `{Finite I} zero (add : A -> A -> A) (f : I -> A) :
  red zero add sequential f = fold_left (fun acc i => add acc (f i)) (enum I) zero.
Proof.
  simpl; unfold comb; change zero with (red zero add Zero f) at 2; generalize (Zero (I := I)).
  induction (enum I) as [| i l IH]; intros t; simpl; auto; now rewrite IH.
Qed.

(** Parts, then the parts together: micro-batches, shards of a batch over processes, lanes of a vector. *)
Lemma rmap_leaves {I J} (f : I -> J) t : leaves (rmap f t) = map f (leaves t).
Proof. induction t as [| | l IHl r IHr]; simpl; auto; now rewrite IHl, IHr, map_app. Qed.

Lemma rbind_leaves {I J} (f : I -> rtree J) t : leaves (rbind t f) = flat_map (fun i => leaves (f i)) (leaves t).
Proof. induction t as [| | l IHl r IHr]; simpl; auto; [now rewrite app_nil_r | now rewrite IHl, IHr, flat_map_app]. Qed.

Definition nested {M I} `{Finite M} `{Finite I} (om : order M) (oi : M -> order I) : order (M * I).
Proof.
  refine {| tree := rbind om (fun m => rmap (pair m) (oi m)) |}.
  rewrite rbind_leaves; simpl.
  apply Permutation_trans with (flat_map (fun m => leaves (rmap (pair m) (oi m))) (enum M)).
  - apply Permutation_flat_map, each_once.
  - induction (enum M) as [| m l IH]; simpl; auto.
    apply Permutation_app; auto; rewrite rmap_leaves; apply Permutation_map, each_once.
Defined.

(** Summing part by part and then the sums is one order of the whole. *)
Theorem nested_red {A M I} `{Finite M} `{Finite I} zero (add : A -> A -> A) (om : order M) (oi : M -> order I) f :
  red zero add (nested om oi) f = red zero add om (fun m => red zero add (oi m) (fun i => f (m, i))).
Proof.
  simpl; induction (tree om) as [| m | l IHl r IHr]; simpl; auto; [| now rewrite IHl, IHr].
  induction (tree (oi m)) as [| i | l IHl r IHr]; simpl; auto; now rewrite IHl, IHr.
Qed.

(** A map that respects 0 and + goes through any order. *)
Lemma red_map {A B I} z a z' a' (h : A -> B) (t : rtree I) f :
  h z = z' -> (forall x y, h (a x y) = a' (h x) (h y)) -> h (red z a t f) = red z' a' t (fun i => h (f i)).
Proof. intros hz ha; induction t as [| | l IHl r IHr]; simpl; auto; now rewrite ha, IHl, IHr. Qed.

Lemma red_ext {A I} (z : A) a (t : rtree I) f g : (forall i, f i = g i) -> red z a t f = red z a t g.
Proof. intros h; induction t as [| | l IHl r IHr]; simpl; auto; now rewrite IHl, IHr. Qed.

Open Scope R_scope.

Lemma lsum_permutation {I} (l m : list I) (f : I -> R) : Permutation l m -> lsum l f = lsum m f.
Proof. induction 1; simpl; auto; lra. Qed.

(** Over the reals every order gives the sum. *)
Theorem red_sum {I} `{Finite I} (o : order I) (f : I -> R) : red 0 Rplus o f = sum f.
Proof.
  assert (h : forall t, red 0 Rplus t f = lsum (leaves t) f).
  { induction t as [| | l IHl r IHr]; simpl; auto; [lra | now rewrite IHl, IHr, lsum_app]. }
  rewrite h; apply lsum_permutation, each_once.
Qed.
