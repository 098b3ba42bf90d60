(** core/derived/norms.ts: RMS and layer normalisation, their input gradients as the code computes them, and the gradients
    of their weights.

    Intuition: a norm forgets the length of a row, so no gradient along the row itself may come back: the backward formula
    takes that part out (and the mean, for layer norm), and divides by the length. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet Maps Differential.
Open Scope R_scope.

Section Row.
  Context {C : Type} `{Finite C}.
  Implicit Types x w b g dy : C -> R.

  Definition width : R := sum (fun _ : C => 1).
  Definition mean x : R := sum x / width.

  Lemma width_pos : 0 <= / width.
  Proof.
    assert (h : 0 <= width) by (apply sum_nonneg; intros; lra).
    destruct h as [h | <-]; [now apply Rlt_le, Rinv_0_lt_compat | rewrite Rinv_0; lra].
  Qed.

  Variable epsilon : R.
  Hypothesis epsilon_pos : 0 < epsilon.

  Definition inverse x : R := / sqrt (mean (fun i => x i * x i) + epsilon).
  Lemma mean_square_pos x : 0 < mean (fun i => x i * x i) + epsilon.
  Proof.
    assert (p : 0 <= mean (fun i => x i * x i)); [| lra].
    apply Rmult_le_pos; [apply sum_nonneg; intros; nra | apply width_pos].
  Qed.

  (** y = x * inverse * weight; dx = inverse * (g - xhat * mean (g * xhat)), g = dy * weight. *)
  Definition rms_norm w x : C -> R := fun i => x i * inverse x * w i.
  Definition projected g xhat r : C -> R := fun i => (g i - xhat i * mean (fun j => g j * xhat j)) * r.
  Definition rms_norm_input w x dy : C -> R :=
    projected (fun i => dy i * w i) (fun i => x i * inverse x) (inverse x).

  Lemma diff_inverse x : is_diff inverse x
    (fun d => - (inverse x * inverse x * inverse x) / width * sum (fun j => x j * d j)).
  Proof.
    assert (s : is_diff (fun x => mean (fun i => x i * x i) + epsilon) x
                  (fun d => / width * sum (fun j => d j * x j + x j * d j) + 0)).
    { apply diff_plus; [| apply diff_const].
      refine (diff_ext _ _ _ _ _ _ (fun _ => eq_refl) (diff_scal (/ width) _ _ _
        (diff_sum (fun j x => x j * x j) x (fun j d => d j * x j + x j * d j) _))).
      - intros y; unfold mean, Rdiv; lra.
      - intros j; apply (diff_mult (fun x => x j) (fun x => x j)); apply diff_coord. }
    refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _ (diff_inverse_root _ _ _ (mean_square_pos x) s)).
    intros d; unfold inverse, Rdiv; rewrite sum_plus.
    replace (sum (fun j => d j * x j)) with (sum (fun j => x j * d j)) by (apply sum_ext; intros; lra); lra.
  Qed.

  Theorem vjp_rms_norm w x : is_vjp (rms_norm w) x (rms_norm_input w x).
  Proof.
    set (r := inverse x).
    apply (vjp_of_components _ _ (fun k d => w k * (d k * r + x k *
      (- (r * r * r) / width * sum (fun j => x j * d j))))).
    - intros k; refine (diff_ext _ _ _ _ _ _ (fun _ => eq_refl) (diff_scal (w k) _ _ _
        (diff_mult _ _ _ _ _ (diff_coord k x) (diff_inverse x)))).
      intros y; unfold rms_norm; lra.
    - intros G d; unfold rms_norm_input, projected, mean; fold r.
      set (s := sum (fun j => x j * d j)); set (t := sum (fun j => G j * w j * x j)).
      transitivity (r * sum (fun k => G k * w k * d k) - r * r * r / width * t * s).
      + unfold t; rewrite <- (sum_scal r), <- (sum_scal (r * r * r / width)), <- sum_scal_r, <- sum_minus.
        apply sum_ext; intros k; unfold Rdiv; lra.
      + replace (sum (fun j => G j * w j * (x j * r))) with (t * r)
          by (unfold t; rewrite <- sum_scal_r; apply sum_ext; intros; lra).
        unfold s, dot; rewrite <- !sum_scal, <- sum_minus.
        apply sum_ext; intros k; unfold Rdiv; lra.
  Qed.

  (** y = (x - mean) * inverse * weight + bias; dx = inverse * (g - mean g - xhat * mean (g * xhat)). *)
  Definition centre x : C -> R := fun i => x i - mean x.
  Definition layer_norm w b x : C -> R := fun i => centre x i * inverse (centre x) * w i + b i.
  Definition layer_norm_input w x dy : C -> R :=
    let g := fun i => dy i * w i in
    let r := inverse (centre x) in
    let xhat := fun i => centre x i * r in
    fun i => (centre g i - xhat i * mean (fun j => g j * xhat j)) * r.

  Lemma vjp_centre x : is_vjp centre x centre.
  Proof.
    apply (vjp_of_components _ _ (fun k d => d k - / width * sum d)).
    - intros k; apply (diff_minus (fun x => x k)); [apply diff_coord |].
      refine (diff_ext _ _ _ _ _ _ (fun _ => eq_refl)
        (diff_scal (/ width) _ _ _ (diff_sum (fun j x => x j) x (fun j d => d j) (fun j => diff_coord j x)))).
      intros y; apply Rmult_comm.
    - intros G d; unfold dot, centre, mean.
      transitivity (sum (fun k => G k * d k) - / width * sum d * sum G).
      + rewrite <- (sum_scal (/ width * sum d)), <- sum_minus; apply sum_ext; intros; lra.
      + replace (/ width * sum d * sum G) with (sum G / width * sum d) by (unfold Rdiv; lra).
        rewrite <- (sum_scal (sum G / width)), <- sum_minus; apply sum_ext; intros; lra.
  Qed.

  Lemma mean_centre x : mean (centre x) = 0.
  Proof.
    unfold mean at 1, centre; rewrite sum_minus.
    replace (sum (fun _ : C => mean x)) with (mean x * width)
      by (unfold width; rewrite <- sum_scal; apply sum_ext; intros; lra).
    unfold mean; destruct (Req_dec width 0) as [z | nz]; [| field; auto].
    unfold Rdiv at 1; rewrite z, Rinv_0; lra.
  Qed.

  Theorem vjp_layer_norm w b x : is_vjp (layer_norm w b) x (layer_norm_input w x).
  Proof.
    assert (h := vjp_andThen _ _ _ _ _ (vjp_centre x) (vjp_rms_norm w (centre x))).
    assert (k : is_vjp (fun x i => rms_norm w (centre x) i + b i) x
                  (fun G => centre (rms_norm_input w (centre x) G))).
    { destruct h as [l [c [p [bd [a h]]]]]; exists l, c; repeat split; auto.
      intros eps he; destruct (h eps he) as [delta [dp hd]]; exists delta; split; auto; intros d small.
      replace (vsub _ (l d)) with (vsub (vsub (rms_norm w (centre (along x 1 d))) (rms_norm w (centre x))) (l d))
        by (extensionality i; unfold vsub; lra); auto. }
    refine (vjp_ext _ _ _ _ _ (fun _ _ => eq_refl) _ k); intros G i.
    set (r := inverse (centre x)); set (g := fun i => G i * w i); set (xhat := fun i => centre x i * r).
    set (m := mean (fun j => g j * xhat j)).
    change ((g i - xhat i * m) * r - mean (fun i => (g i - xhat i * m) * r) = (g i - mean g - xhat i * m) * r).
    replace (mean (fun i => (g i - xhat i * m) * r)) with (r * mean g); [lra |].
    transitivity (r * mean g - r * r * m * mean (centre x)); [rewrite mean_centre; lra |].
    unfold mean, Rdiv.
    replace (r * (sum g * / width) - r * r * m * (sum (centre x) * / width))
      with ((r * sum g - r * r * m * sum (centre x)) * / width) by lra.
    f_equal; rewrite <- !sum_scal, <- sum_minus; apply sum_ext; intros; unfold xhat; lra.
  Qed.
End Row.

(** Matrices: row by row; the weight's gradient is summed over the rows. *)
Section Matrix.
  Context {B C : Type} `{Finite B} `{Finite C}.
  Variable epsilon : R.
  Hypothesis epsilon_pos : 0 < epsilon.
  Definition rms_norm_rows w : (B * C -> R) -> (B * C -> R) := by_row (fun _ => rms_norm epsilon w).
  Definition rms_norm_rows_input w := vjp_by_row (B := B) (fun _ => rms_norm_input epsilon w).

  Theorem vjp_rms_norm_rows w X : is_vjp (rms_norm_rows w) X (rms_norm_rows_input w X).
  Proof. apply vjp_rows; intros b; now apply vjp_rms_norm. Qed.

  (** The scaled rows as a function of weight and bias: dweight = sum over rows of dy * xhat, dbias = sum of dy. *)
  Theorem vjp_norm_weights (xhat : B * C -> R) (z : C + C -> R) :
    is_vjp (fun z p => xhat p * z (inl (snd p)) + z (inr (snd p))) z
      (fun dy => both (fun c => sum (fun b => dy (b, c) * xhat (b, c))) (fun c => sum (fun b => dy (b, c)))).
  Proof.
    apply (vjp_of_components _ _ (fun p d => xhat p * d (inl (snd p)) + d (inr (snd p)))).
    - intros p; apply diff_plus; [apply diff_scal |]; apply diff_coord.
    - intros G d; rewrite dot_both, sum_prod; unfold dot, fst', snd'; cbn [fst snd].
      rewrite sum_swap, <- sum_plus; apply sum_ext; intros c.
      rewrite <- !sum_scal_r, <- sum_plus; apply sum_ext; intros; lra.
  Qed.
End Matrix.
