(** core/derived/losses.ts: the gradients of cross-entropy and of the squared error are as the code computes them.

    Intuition: cross-entropy's gradient is what the model believes minus what is so. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet Maps Differential Attention.
Open Scope R_scope.

Section CrossEntropy.
  Context {B V : Type} `{Finite B} `{Finite V}.
  (** The target of a row; [None] for a row that does not count. *)
  Variable target : B -> option V.
  Variable denominator : R.
  Hypothesis vocabulary : exists v : V, True.

  Definition all (_ : V) := true.
  Lemma all_seen : exists v, all v = true.
  Proof. destruct vocabulary as [v _]; now exists v. Qed.

  (** log (sum of powers) - shifted target, with any shift (the code: the largest logit of the row). *)
  Definition surprise (shift : R) (x : V -> R) (v : V) : R := ln (sum (powers all shift x)) - (x v - shift).
  Definition cross_entropy (shift : B -> (V -> R) -> R) (X : B * V -> R) : R :=
    sum (fun b => match target b with
                  | Some v => surprise (shift b (row X b)) (row X b) v | None => 0 end) / denominator.
  (** (p - onehot) * dLoss / denominator *)
  Definition onehot (b : B) (v : V) : R :=
    match target b with Some v' => if fin_dec v' v then 1 else 0 | None => 0 end.
  Definition cross_entropy_backward (X : B * V -> R) (dloss : R) : B * V -> R := fun p =>
    match target (fst p) with
    | Some _ => (softmax all (row X (fst p)) (snd p) - onehot (fst p) (snd p)) * (dloss / denominator)
    | None => 0 end.

  Lemma surprise_any_shift shift x v : surprise shift x v = surprise 0 x v.
  Proof.
    unfold surprise.
    assert (e : forall j, powers all shift x j = exp (- shift) * powers all 0 x j).
    { intros j; unfold powers, all; rewrite <- exp_plus; f_equal; lra. }
    rewrite (sum_ext _ _ e), sum_scal, ln_mult, ln_exp; [lra | apply exp_pos |].
    exact (powers_sum_pos all all_seen 0 x).
  Qed.

  Theorem cross_entropy_gradient (shift : B -> (V -> R) -> R) (dloss : R) X :
    is_fgrad (fun X => dloss * cross_entropy shift X) X (cross_entropy_backward X dloss).
  Proof.
    apply diff_grad.
    assert (one : forall b, is_diff (fun X => match target b with
        | Some v => surprise (shift b (row X b)) (row X b) v | None => 0 end) X
      (fun d => match target b with
        | Some v => sum (fun j => softmax all (row X b) j * d (b, j)) - d (b, v) | None => 0 end)).
    { intros b; destruct (target b) as [v |]; [| apply diff_const].
      assert (p := powers_sum_pos all all_seen 0 (row X b)).
      assert (s : is_diff (fun X => sum (powers all 0 (row X b))) X
                    (fun d => sum (fun j => powers all 0 (row X b) j * d (b, j)))).
      { apply (diff_sum (fun j X => powers all 0 (row X b) j)); intros j; unfold powers, all, row.
        refine (diff_ext _ _ _ _ _ _ _ (diff_exp _ _ _ (diff_coord (b, j) X)));
          [intros y; now rewrite Rminus_0_r | intros d; now rewrite Rminus_0_r]. }
      refine (diff_ext _ _ _ _ _ _ _ (diff_minus _ _ _ _ _ 
        (diff_ln (fun X => sum (powers all 0 (row X b))) X _ p s) (diff_coord (b, v) X))).
      - intros y; rewrite surprise_any_shift; unfold surprise; rewrite Rminus_0_r; auto.
      - intros d; f_equal; rewrite <- sum_scal; apply sum_ext; intros j.
        unfold softmax, softmax_shifted, Rdiv; lra. }
    refine (diff_ext _ _ _ _ _ _ _ (diff_scal (dloss / denominator) _ _ _ (diff_sum _ _ _ one))).
    - intros y; unfold cross_entropy, Rdiv; lra.
    - intros d; unfold dot; rewrite sum_prod, <- sum_scal; apply sum_ext; intros b.
      unfold cross_entropy_backward, onehot; cbn [fst snd]; destruct (target b) as [v |].
      + rewrite <- (sum_pick v (fun j => d (b, j))), <- sum_minus, <- sum_scal; apply sum_ext; intros j.
        destruct (fin_dec v j); ring.
      + rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra.
  Qed.

  (** The loss is never below 0, so training on it cannot run away downwards. *)
  Theorem cross_entropy_nonneg shift X : 0 < denominator -> 0 <= cross_entropy shift X.
  Proof.
    intros dp; apply Rmult_le_pos; [| now apply Rlt_le, Rinv_0_lt_compat].
    apply sum_nonneg; intros b; destruct (target b) as [v |]; [| lra].
    rewrite surprise_any_shift; unfold surprise; rewrite Rminus_0_r.
    assert (h : exp (row X b v) <= sum (powers all 0 (row X b))).
    { rewrite <- (sum_pick v (fun j => exp (row X b j))); apply sum_le; intros j.
      unfold powers, all; rewrite Rminus_0_r; assert (p := exp_pos (row X b j)).
      destruct (fin_dec v j); lra. }
    assert (k : ln (exp (row X b v)) <= ln (sum (powers all 0 (row X b)))).
    { destruct h as [h | h]; [apply Rlt_le, ln_increasing; auto using exp_pos | rewrite h; lra]. }
    rewrite ln_exp in k; lra.
  Qed.
End CrossEntropy.

(** Sum of squares over a denominator. *)
Section SquaredError.
  Context {I : Type} `{Finite I}.
  Variable target : I -> R.
  Variable denominator : R.
  Definition squared_error (y : I -> R) : R := sum (fun i => (y i - target i) * (y i - target i)) / denominator.
  Definition squared_error_backward (y : I -> R) (dloss : R) : I -> R :=
    fun i => (y i - target i) * (dloss * 2 / denominator).

  Theorem squared_error_gradient dloss y :
    is_fgrad (fun y => dloss * squared_error y) y (squared_error_backward y dloss).
  Proof.
    apply diff_grad.
    assert (one : forall i, is_diff (fun y => (y i - target i) * (y i - target i)) y
      (fun d => (d i - 0) * (y i - target i) + (y i - target i) * (d i - 0))).
    { intros i; apply (diff_mult (fun y => y i - target i) (fun y => y i - target i));
        apply (diff_minus (fun y => y i) (fun _ => target i)); auto using diff_coord, diff_const. }
    refine (diff_ext _ _ _ _ _ _ _ (diff_scal (dloss / denominator) _ _ _ (diff_sum _ _ _ one))).
    - intros z; unfold squared_error, Rdiv; ring.
    - intros d; unfold dot; rewrite <- sum_scal; apply sum_ext; intros i; unfold squared_error_backward, Rdiv; ring.
  Qed.

  Theorem squared_error_nonneg y : 0 < denominator -> 0 <= squared_error y.
  Proof.
    intros p; apply Rmult_le_pos; [apply sum_nonneg; intros; apply Rle_0_sqr | now apply Rlt_le, Rinv_0_lt_compat].
  Qed.
End SquaredError.
