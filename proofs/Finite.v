(** Finite index sets and sums over them (plain Coq standard library). *)
From Coq Require Import List Reals Lra FunctionalExtensionality.
From Coq Require Fin.
Import ListNotations.
Open Scope R_scope.

(** A finite type: a duplicate-free list of all its elements, and decidable equality. *)
Class Finite (I : Type) := {
  enum : list I;
  enum_nodup : NoDup enum;
  enum_all : forall i, In i enum;
  fin_dec : forall i j : I, {i = j} + {i <> j} }.
Arguments enum I {_}.

(** ** Instances: {0..n-1}, products (matrices, batches), sums (several layers), unit. *)
Fixpoint fin_enum (n : nat) : list (Fin.t n) :=
  match n with O => [] | S n => Fin.F1 :: map Fin.FS (fin_enum n) end.

Lemma fin_enum_all n (i : Fin.t n) : In i (fin_enum n).
Proof. induction i; simpl; [now left | right; now apply in_map]. Qed.

Lemma nodup_map {A B} (f : A -> B) l :
  (forall x y, f x = f y -> x = y) -> NoDup l -> NoDup (map f l).
Proof.
  intros inj nd; induction nd; simpl; constructor; auto.
  rewrite in_map_iff; intros [y [e iy]]; apply inj in e; subst; auto.
Qed.

Lemma nodup_app {A} (l m : list A) :
  NoDup l -> NoDup m -> (forall x, In x l -> In x m -> False) -> NoDup (l ++ m).
Proof.
  intros nl nm dis; induction nl; simpl; auto; constructor.
  - rewrite in_app_iff; intros [h | h]; [auto | apply (dis x); simpl; auto].
  - apply IHnl; intros y h; apply dis; simpl; auto.
Qed.

Lemma nodup_app_inv {A} (l m : list A) :
  NoDup (l ++ m) -> NoDup l /\ NoDup m /\ forall x, In x l -> In x m -> False.
Proof.
  induction l as [| a l IH]; simpl; intros nd; [repeat split; auto; constructor |].
  inversion nd as [| ? ? na nl]; subst; destruct (IH nl) as [pl [pm dis]].
  rewrite in_app_iff in na; repeat split; auto; [constructor; auto |].
  intros x [-> | h] hm; [auto | now apply (dis x)].
Qed.

Lemma fin_enum_nodup n : NoDup (fin_enum n).
Proof.
  induction n; simpl; constructor.
  - rewrite in_map_iff; intros [y [e _]]; discriminate e.
  - apply nodup_map; auto; intros; now apply Fin.FS_inj.
Qed.

#[export] Instance finite_ord n : Finite (Fin.t n).
Proof.
  refine {| enum := fin_enum n |};
    [apply fin_enum_nodup | apply fin_enum_all | apply Fin.eq_dec].
Defined.

Lemma nodup_prod {A B} (l : list A) (m : list B) :
  NoDup l -> NoDup m -> NoDup (list_prod l m).
Proof.
  intros nl nm; induction nl; simpl; [constructor | apply nodup_app; auto].
  - apply nodup_map; auto; congruence.
  - intros [a b]; rewrite in_map_iff, in_prod_iff; intros [y [e _]] [ha _].
    injection e; intros; subst; auto.
Qed.

#[export] Instance finite_prod {A B} `{Finite A} `{Finite B} : Finite (A * B).
Proof.
  refine {| enum := list_prod (enum A) (enum B) |}.
  - apply nodup_prod; apply enum_nodup.
  - intros [a b]; apply in_prod; apply enum_all.
  - intros [a b] [c d]; destruct (fin_dec a c), (fin_dec b d);
      try (left; congruence); right; congruence.
Defined.

#[export] Instance finite_sum {A B} `{Finite A} `{Finite B} : Finite (A + B).
Proof.
  refine {| enum := map inl (enum A) ++ map inr (enum B) |}.
  - apply nodup_app; try (apply nodup_map; [congruence | apply enum_nodup]).
    intros x; rewrite !in_map_iff; intros [a [ea _]] [b [eb _]]; congruence.
  - intros [a | b]; apply in_or_app; [left | right]; apply in_map, enum_all.
  - intros [a | b] [c | d]; try (right; congruence).
    + destruct (fin_dec a c); [left | right]; congruence.
    + destruct (fin_dec b d); [left | right]; congruence.
Defined.

#[export] Instance finite_empty : Finite Empty_set.
Proof. refine {| enum := [] |}; [constructor | intros [] | intros []]. Defined.

(** Bundled finite types. *)
Record ftype := F { sort :> Type; fin : Finite sort }.
#[export] Existing Instance fin.
Definition fprod (A B : ftype) : ftype := F (A * B) _.
Definition fsum (A B : ftype) : ftype := F (A + B) _.
Definition fempty : ftype := F Empty_set _.

(** ** Sums *)
Definition lsum {I} (l : list I) (f : I -> R) : R := fold_right (fun i s => f i + s) 0 l.
Definition sum {I} `{Finite I} (f : I -> R) : R := lsum (enum I) f.

Section Lsum.
  Context {I : Type}.
  Implicit Types (l : list I) (f g : I -> R).

  Lemma lsum_ext l f g : (forall i, In i l -> f i = g i) -> lsum l f = lsum l g.
  Proof. induction l; simpl; intros h; auto. rewrite h, IHl; auto. Qed.

  Lemma lsum_plus l f g : lsum l (fun i => f i + g i) = lsum l f + lsum l g.
  Proof. induction l; simpl; [lra | rewrite IHl; lra]. Qed.

  Lemma lsum_scal l a f : lsum l (fun i => a * f i) = a * lsum l f.
  Proof. induction l; simpl; [lra | rewrite IHl; lra]. Qed.

  Lemma lsum_0 l : lsum l (fun _ => 0) = 0.
  Proof. induction l; simpl; lra. Qed.

  Lemma lsum_le l f g : (forall i, f i <= g i) -> lsum l f <= lsum l g.
  Proof. intros h; induction l; simpl; [lra | specialize (h a); lra]. Qed.

  Lemma lsum_app l l' f : lsum (l ++ l') f = lsum l f + lsum l' f.
  Proof. induction l; simpl; [lra | rewrite IHl; lra]. Qed.

  Lemma lsum_nonneg_0 l f : (forall i, 0 <= f i) -> lsum l f = 0 -> forall i, In i l -> f i = 0.
  Proof.
    intros pos; induction l as [| a l IHl]; simpl; intros e i; [tauto | intros [h | h]; subst].
    - assert (0 <= lsum l f) by (rewrite <- (lsum_0 l); now apply lsum_le).
      specialize (pos i); lra.
    - assert (0 <= lsum l f) by (rewrite <- (lsum_0 l); now apply lsum_le).
      apply IHl; auto; specialize (pos a); lra.
  Qed.
End Lsum.

Lemma lsum_swap {I J} (l : list I) (m : list J) (f : I -> J -> R) :
  lsum l (fun i => lsum m (f i)) = lsum m (fun j => lsum l (fun i => f i j)).
Proof.
  induction l; simpl; [now rewrite lsum_0 | rewrite IHl].
  now rewrite <- lsum_plus.
Qed.

Lemma lsum_map {I J} (m : list J) (h : J -> I) (f : I -> R) :
  lsum (map h m) f = lsum m (fun j => f (h j)).
Proof. induction m; simpl; congruence. Qed.

Lemma lsum_prod {A B} (l : list A) (m : list B) (f : A * B -> R) :
  lsum (list_prod l m) f = lsum l (fun a => lsum m (fun b => f (a, b))).
Proof. induction l; simpl; auto. rewrite lsum_app, lsum_map, IHl; auto. Qed.

Section Sum.
  Context {I : Type} `{Finite I}.
  Implicit Types f g : I -> R.

  Lemma sum_ext f g : (forall i, f i = g i) -> sum f = sum g.
  Proof. intros h; apply lsum_ext; auto. Qed.
  Lemma sum_plus f g : sum (fun i => f i + g i) = sum f + sum g.
  Proof. apply lsum_plus. Qed.
  Lemma sum_scal a f : sum (fun i => a * f i) = a * sum f.
  Proof. apply lsum_scal. Qed.
  Lemma sum_0 : sum (fun _ : I => 0) = 0.
  Proof. apply lsum_0. Qed.
  Lemma sum_le f g : (forall i, f i <= g i) -> sum f <= sum g.
  Proof. apply lsum_le. Qed.
  Lemma sum_nonneg f : (forall i, 0 <= f i) -> 0 <= sum f.
  Proof. intros; rewrite <- sum_0; now apply sum_le. Qed.
  Lemma sum_nonneg_0 f : (forall i, 0 <= f i) -> sum f = 0 -> forall i, f i = 0.
  Proof. intros pos e i; apply (lsum_nonneg_0 (enum I)); auto; apply enum_all. Qed.

  (** Picking one term. *)
  Lemma sum_pick (i : I) f : sum (fun j => if fin_dec i j then f j else 0) = f i.
  Proof.
    unfold sum; generalize (enum_nodup (I := I)) (enum_all i).
    induction (enum I) as [| j l IH]; simpl; [tauto | intros nd iin].
    inversion nd as [| ? ? nj nl]; subst.
    destruct (fin_dec i j) as [e | e].
    - subst j. rewrite (lsum_ext l _ (fun _ => 0)), lsum_0; [lra |].
      intros k ik; destruct (fin_dec i k); [congruence | auto].
    - destruct iin as [e' | iin]; [congruence |]; rewrite IH; auto; lra.
  Qed.
End Sum.

Lemma sum_swap {I J} `{Finite I} `{Finite J} (f : I -> J -> R) :
  sum (fun i => sum (f i)) = sum (fun j => sum (fun i => f i j)).
Proof. apply lsum_swap. Qed.

Lemma sum_prod {A B} `{Finite A} `{Finite B} (f : A * B -> R) :
  sum f = sum (fun a => sum (fun b => f (a, b))).
Proof. apply lsum_prod. Qed.

Lemma sum_sum {A B} `{Finite A} `{Finite B} (f : A + B -> R) :
  sum f = sum (fun a => f (inl a)) + sum (fun b => f (inr b)).
Proof. unfold sum; simpl; now rewrite lsum_app, !lsum_map. Qed.

(** Algebra of sums. *)
Section Algebra.
  Context {I : Type} `{Finite I}.
  Implicit Types f g : I -> R.
  Lemma sum_scal_r a f : sum (fun i => f i * a) = sum f * a.
  Proof. rewrite Rmult_comm, <- sum_scal; apply sum_ext; intros; lra. Qed.
  Lemma sum_minus f g : sum (fun i => f i - g i) = sum f - sum g.
  Proof.
    replace (sum f - sum g) with (sum f + -1 * sum g) by lra.
    rewrite <- sum_scal, <- sum_plus; apply sum_ext; intros; lra.
  Qed.
  Lemma sum_pick_l (i : I) f : sum (fun j => if fin_dec j i then f j else 0) = f i.
  Proof.
    rewrite <- (sum_pick i f); apply sum_ext; intros j.
    destruct (fin_dec j i), (fin_dec i j); congruence.
  Qed.
End Algebra.

(** Adding by groups. *)
Lemma sum_by_group {H G} `{Finite H} `{Finite G} (grp : H -> G) (f : H -> G -> R) :
  sum (fun h => f h (grp h)) = sum (fun g => sum (fun h => if fin_dec (grp h) g then f h g else 0)).
Proof.
  rewrite sum_swap; apply sum_ext; intros h; symmetry; exact (sum_pick (grp h) (fun g => f h g)).
Qed.
