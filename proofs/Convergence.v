(** PaCA as it is run (numbers of the delta form, gathered gradients, SGD), for any loss, any index set without repetition.

    Intuition: PaCA is gradient descent that may only walk in the subspace of the chosen columns. Whatever is known of
    gradient descent on a smooth loss holds there, with the gradient seen in that subspace in place of the whole gradient.
    *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite GatherScatter Gradient Optimizer Descent.
Open Scope R_scope.

(** One SGD step of the delta form is, on the weights, one projected gradient step of length lr * s^2. *)
Theorem sgd_step_on_weights {I J} `{Finite I} `{Finite J} (idx : J -> I)
    (idx_inj : forall j k, idx j = idx k -> j = k) (w0 : I -> R) s lr grad t :
  let d t := fst (paca idx (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd lr) grad t) in
  let w t := weights_of idx (put_delta w0 s) w0 (d t) in
  w (S t) = gd_step (grad t) (proj idx) (lr t * (s * s)) (w t).
Proof.
  intros d w.
  assert (e : forall q u, paca idx (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd lr) grad t = (q, u) -> d t = q)
    by (intros q u h; unfold d; now rewrite h).
  unfold w at 1, d at 1; simpl.
  destruct (paca idx (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd lr) grad t) as [q u] eqn:h.
  specialize (e q u eq_refl); unfold w; rewrite e; simpl; set (w' := weights_of idx (put_delta w0 s) w0 q).
  extensionality i; unfold gd_step, along, proj, selected.
  unfold w' at 2, weights_of at 1, weights_of at 1, scatter; unfold gather, sgd, pull_delta; simpl.
  destruct (preimage idx i) as [j |] eqn:p; [| lra].
  assert (ij := preimage_some _ _ _ p); subst i; unfold put_delta; ring.
Qed.

Section PaCA.
  (** I: all weights of the network; J: the trained ones (for a linear layer, O x K inside O x C by [colmap]; several layers
      by [+]); s: the scale alpha/r. *)
  Context {I J : Type} `{Finite I} `{Finite J}.
  Variable idx : J -> I.
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.

  Variable L : (I -> R) -> R.
  Variable gL : (I -> R) -> (I -> R).
  Variable Lmin beta : R.
  Hypothesis gL_grad : forall w, is_grad L w (gL w).
  Hypothesis bounded : forall w, Lmin <= L w.
  Hypothesis beta_pos : 0 <= beta.
  Hypothesis lipschitz : forall u v, norm (vsub (gL u) (gL v)) <= beta * norm (vsub u v).

  Variables (w0 : I -> R) (s : R) (lr : nat -> R).
  (** What the learning rate is on the weights. *)
  Definition eta t := lr t * (s * s).

  (** delta after t steps, and the weights the network then runs on. *)
  Definition delta t : J -> R :=
    fst (paca idx (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd lr) (fun _ => gL) t).
  Definition weights_at (d : J -> R) : I -> R := weights_of idx (put_delta w0 s) w0 d.
  Definition merged t : I -> R := weights_at (delta t).
  (** The gradient in the selected columns, which is all that PaCA computes. *)
  Definition paca_grad t : J -> R := gather idx (gL (merged t)).

  Lemma proj_nonexpansive v : norm (proj idx v) <= norm v.
  Proof.
    apply sqrt_le_1_alt, sum_le; intros i; unfold proj; destruct (selected idx i); [lra |].
    assert (h := Rle_0_sqr (v i)); unfold Rsqr in h; lra.
  Qed.

  Lemma lipschitz_proj : lipschitz_within (proj idx) gL beta.
  Proof.
    intros w d _.
    replace (vsub (proj idx (gL (along w 1 d))) (proj idx (gL w)))
      with (proj idx (vsub (gL (along w 1 d)) (gL w)))
      by (extensionality i; unfold vsub, proj; destruct (selected idx i); lra).
    eapply Rle_trans; [apply proj_nonexpansive |].
    replace d with (vsub (along w 1 d) w) at 2 by (extensionality i; unfold vsub, along; lra).
    apply lipschitz.
  Qed.

  Lemma merged_iter t : merged t = iter gL (proj idx) eta w0 t.
  Proof.
    unfold merged, weights_at, delta; rewrite (sgd_scale_squared idx w0 s (fun _ => gL) lr t).
    destruct (paca_equals_masked idx idx_inj (fun _ q => q) (fun _ g => g) w0 w0 (fun _ => eq_refl) tt
                (sgd (fun t => lr t * (s * s))) (fun _ => gL) t) as [_ [_ e]]; rewrite e.
    clear e; change (fst (masked idx (fun _ q => q) (fun _ g => g) w0 tt (sgd (fun t => lr t * (s * s)))
      (fun _ => gL) t) = iter gL (proj idx) eta w0 t).
    induction t as [| t IH]; simpl; auto.
    destruct (masked idx (fun _ q => q) (fun _ g => g) w0 tt (sgd (fun t => lr t * (s * s))) (fun _ => gL) t)
      as [w u]; simpl in *; rewrite <- IH; clear IH.
    change (fun i => w i) with w; extensionality i; unfold gd_step, along, proj, eta; destruct (selected idx i); simpl; ring.
  Qed.

  Lemma paca_grad_norm t : dot (paca_grad t) (paca_grad t)
    = pg2 gL (proj idx) (iter gL (proj idx) eta w0 t).
  Proof. unfold paca_grad, pg2; rewrite gather_norm, merged_iter; auto. Qed.

  Notation self := (proj_self_adjoint idx).
  Notation idem := (proj_idem idx).

  Lemma everywhere : differentiable_along_run L gL (proj idx) eta w0.
  Proof. intros t r _; apply gL_grad. Qed.

  Lemma smooth : smooth_along_run gL (proj idx) eta w0 (fun _ => beta).
  Proof.
    intros t r hr; apply (smooth_segment (proj idx) self gL beta lipschitz_proj); auto.
    unfold move; now rewrite (P_scal _ self), idem.
  Qed.

  (** The loss after a step. *)
  Theorem paca_descent t :
    L (merged (S t)) <= L (merged t)
      - eta t * (1 - beta * eta t / 2) * dot (paca_grad t) (paca_grad t).
  Proof.
    rewrite paca_grad_norm, !merged_iter.
    exact (masked_step_descent L gL _ self idem eta w0 (fun _ => beta) everywhere smooth t).
  Qed.

  (** No global constant is needed for this: [b t] is how fast the slope grows along step t, as a run can measure it. *)
  Theorem paca_descent_along_path (b : nat -> R) :
    differentiable_along_run L gL (proj idx) eta w0 ->
    smooth_along_run gL (proj idx) eta w0 b -> forall t,
    L (merged (S t)) <= L (merged t) - eta t * (1 - b t * eta t / 2) * dot (paca_grad t) (paca_grad t).
  Proof.
    intros ok sm t; rewrite paca_grad_norm, !merged_iter.
    exact (masked_step_descent L gL _ self idem eta w0 b ok sm t).
  Qed.

  (** Summed over a run: what a run can have spent on gradients is what its loss has fallen. *)
  Theorem paca_sum_along_path (b : nat -> R) :
    differentiable_along_run L gL (proj idx) eta w0 ->
    smooth_along_run gL (proj idx) eta w0 b -> forall T,
    lsum (seq 0 T) (fun t => eta t * (1 - b t * eta t / 2) * dot (paca_grad t) (paca_grad t)) <= L w0 - L (merged T).
  Proof.
    intros ok sm T; rewrite merged_iter.
    rewrite (lsum_ext _ _ (fun t => gain eta b t * pg2 gL (proj idx) (iter gL (proj idx) eta w0 t)))
      by (intros; now rewrite paca_grad_norm).
    exact (weighted_sum_bounded L gL _ self idem eta w0 b ok sm T).
  Qed.

  (** A constant step 0 < eta < 2/beta, or any schedule with the same lower bound. *)
  Variable c : R.
  Hypothesis c_pos : 0 < c.
  Hypothesis c_gain : forall t, c <= eta t * (1 - beta * eta t / 2).

  Theorem paca_monotone t : L (merged (S t)) <= L (merged t).
  Proof.
    rewrite !merged_iter.
    exact (monotone L gL _ self idem eta w0 (fun _ => beta) everywhere smooth c c_pos c_gain t).
  Qed.

  Theorem paca_sum_bounded T :
    lsum (seq 0 T) (fun t => dot (paca_grad t) (paca_grad t)) <= (L w0 - Lmin) / c.
  Proof.
    rewrite (lsum_ext _ _ (fun t => pg2 gL (proj idx) (iter gL (proj idx) eta w0 t)))
      by (intros; apply paca_grad_norm).
    exact (sum_bounded L gL _ self idem eta w0 (fun _ => beta) everywhere smooth Lmin (fun t => bounded _) c c_pos c_gain T).
  Qed.

  Theorem paca_best_iterate T : (0 < T)%nat ->
    exists t, (t < T)%nat /\
      dot (paca_grad t) (paca_grad t) <= (L w0 - Lmin) / (INR T * c).
  Proof.
    intros h; destruct (best_iterate L gL _ self idem
      eta w0 (fun _ => beta) everywhere smooth Lmin (fun t => bounded _) c c_pos c_gain T h) as [t [ht e]].
    exists t; now rewrite paca_grad_norm.
  Qed.

  Theorem paca_gradient_vanishes : Un_cv (fun t => dot (paca_grad t) (paca_grad t)) 0.
  Proof.
    replace (fun t => dot (paca_grad t) (paca_grad t))
      with (fun t => pg2 gL (proj idx) (iter gL (proj idx) eta w0 t))
      by (extensionality t; now rewrite paca_grad_norm).
    exact (gradient_vanishes L gL _ self idem eta w0 (fun _ => beta) everywhere smooth
      Lmin (fun t => bounded _) c c_pos c_gain).
  Qed.

  Theorem paca_loss_converges : { l | Un_cv (fun t => L (merged t)) l }.
  Proof.
    destruct (loss_converges L gL _ self idem
      eta w0 (fun _ => beta) everywhere smooth Lmin (fun t => bounded _) c c_pos c_gain) as [l h]; exists l.
    replace (fun t => L (merged t)) with (fun t => L (iter gL (proj idx) eta w0 t))
      by (extensionality t; now rewrite merged_iter); exact h.
  Qed.

  (** If delta converges (along a subsequence phi) to d, then d is a stationary point of the problem PaCA solves: minimise
      d |-> L (W + s d). *)
  Theorem paca_limit_is_stationary (phi : nat -> nat) (d : J -> R) :
    (forall N, exists M, forall k, (M <= k)%nat -> (N <= phi k)%nat) ->
    Un_cv (fun k => norm (vsub d (delta (phi k)))) 0 ->
    is_grad (fun d => L (weights_at d)) d (fun _ => 0).
  Proof.
    intros sub cv.
    assert (af : forall d d', vsub (weights_at d) (weights_at d') = fun i => s * scatter idx (fun _ => 0) (vsub d d') i).
    { intros e e'; extensionality i; unfold vsub, weights_at, weights_of, scatter.
      destruct (preimage idx i); unfold put_delta; lra. }
    assert (e : forall k, norm (vsub (weights_at d) (iter gL (proj idx) eta w0 (phi k)))
                          = Rabs s * norm (vsub d (delta (phi k)))).
    { intros k; rewrite <- merged_iter; unfold merged; rewrite af, norm_scal; f_equal.
      unfold norm; f_equal; now rewrite dot_gather, gather_scatter. }
    assert (st := limit_is_stationary L gL _ self idem eta w0 (fun _ => beta) everywhere smooth
      Lmin (fun t => bounded _) c c_pos c_gain gL_grad phi (weights_at d) sub).
    assert (z : pg2 gL (proj idx) (weights_at d) = 0).
    { apply (stationary_iff L gL _ self idem gL_grad), st.
      - extensionality i; unfold proj, vsub, weights_at, weights_of, scatter, selected; destruct (preimage idx i); lra.
      - apply (lipschitz_continuous gL (proj idx) beta); auto using lipschitz_proj.
      - intros eps he; assert (sp := Rabs_pos s).
        destruct (cv (eps / (Rabs s + 1))) as [N h]; [apply Rdiv_lt_0_compat; lra |].
        exists N; intros k hk; specialize (h k hk); rewrite e; unfold R_dist in *; rewrite Rminus_0_r in *.
        rewrite Rabs_mult, Rabs_Rabsolu.
        set (n := Rabs (norm (vsub d (delta (phi k))))) in *; assert (np : 0 <= n) by apply Rabs_pos.
        apply Rle_lt_trans with ((Rabs s + 1) * n); [nra |].
        apply Rmult_lt_reg_l with (/ (Rabs s + 1)); [apply Rinv_0_lt_compat; lra |].
        replace (/ (Rabs s + 1) * ((Rabs s + 1) * n)) with n by (field; lra).
        replace (/ (Rabs s + 1) * eps) with (eps / (Rabs s + 1)) by (unfold Rdiv; lra); auto. }
    replace (fun _ : J => 0) with (fun j => s * gather idx (gL (weights_at d)) j).
    - apply (grad_affine L weights_at (fun d i => s * scatter idx (fun _ => 0) d i)
               (fun g j => s * gather idx g j)); [| | apply gL_grad].
      + intros t u; extensionality i; unfold weights_at, weights_of, scatter, along.
        destruct (preimage idx i); unfold put_delta; lra.
      + intros u v; rewrite dot_scal_r, dot_gather by auto.
        rewrite dot_comm, <- dot_scal_r, dot_comm; auto.
    - extensionality j; unfold pg2 in z; rewrite <- gather_norm in z by auto.
      rewrite (dot_zero _ z j); lra.
  Qed.

  (** Linear rate when the restricted problem satisfies the Polyak-Lojasiewicz inequality. *)
  Theorem paca_linear_rate mu Lstar :
    0 <= mu -> (forall d, Lstar <= L (weights_at d)) ->
    (forall d, let g := gather idx (gL (weights_at d)) in
       2 * mu * (L (weights_at d) - Lstar) <= dot g g) ->
    forall t, L (merged t) - Lstar <= (1 - 2 * mu * c) ^ t * (L w0 - Lstar).
  Proof.
    intros m low pl t; rewrite merged_iter.
    apply (linear_rate L gL _ self idem eta w0 (fun _ => beta) everywhere smooth c c_pos c_gain mu Lstar m).
    - intros k; rewrite <- merged_iter.
      replace (pg2 gL (proj idx) (merged k)) with (dot (paca_grad k) (paca_grad k))
        by (rewrite paca_grad_norm, merged_iter; auto).
      apply pl.
    - intros k; rewrite <- merged_iter; apply low.
  Qed.
End PaCA.

(** The usual reading of the hypotheses on the step. *)
Lemma constant_step_gain beta eta :
  0 < eta -> beta * eta < 2 -> 0 < eta * (1 - beta * eta / 2).
Proof. intros; nra. Qed.

(** ** The hypotheses can be met: L(w) = beta/2 |w|^2 satisfies all of them. *)
Section Example.
  Context {I : Type} `{Finite I}.
  Variable beta : R.
  Hypothesis beta_pos : 0 <= beta.
  Definition quad (w : I -> R) := beta / 2 * dot w w.
  Definition quad_grad (w : I -> R) : I -> R := fun i => beta * w i.

  Lemma quad_is_grad w : is_grad quad w (quad_grad w).
  Proof.
    intros d; unfold quad, quad_grad.
    replace (fun t => beta / 2 * dot (along w t d) (along w t d)) with
      (fun t => beta / 2 * dot w w + (beta * dot w d * t + beta / 2 * dot d d * (t * t)))
      by (extensionality t; rewrite dot_along; field).
    replace (dot (fun i => beta * w i) d)
      with (0 + (beta * dot w d * 1 + beta / 2 * dot d d * (1 * 0 + 0 * 1)))
      by (rewrite (dot_comm (fun i => beta * w i)), dot_scal_r, (dot_comm d w); lra).
    apply (derivable_pt_lim_plus (fun _ => beta / 2 * dot w w)); [apply derivable_pt_lim_const |].
    apply (derivable_pt_lim_plus (fun t => beta * dot w d * t)
             (fun t => beta / 2 * dot d d * (t * t))).
    - apply (derivable_pt_lim_scal (fun t => t)), derivable_pt_lim_id.
    - apply (derivable_pt_lim_scal (fun t => t * t)).
      apply (derivable_pt_lim_mult (fun t => t) (fun t => t)); apply derivable_pt_lim_id.
  Qed.
  Lemma quad_bounded w : 0 <= quad w.
  Proof. unfold quad; assert (h := dot_pos w); nra. Qed.
  Lemma quad_lipschitz u v : norm (vsub (quad_grad u) (quad_grad v)) <= beta * norm (vsub u v).
  Proof.
    replace (vsub (quad_grad u) (quad_grad v)) with (fun i => beta * vsub u v i)
      by (extensionality i; unfold vsub, quad_grad; lra).
    rewrite norm_scal, Rabs_pos_eq by auto; lra.
  Qed.

  Theorem quad_converges {J} `{Finite J} (idx : J -> I)
      (inj : forall j k, idx j = idx k -> j = k) (w0 : I -> R) lr :
    0 < lr -> beta * lr < 2 ->
    Un_cv (fun t => dot (paca_grad idx quad_grad w0 1 (fun _ => lr) t)
                        (paca_grad idx quad_grad w0 1 (fun _ => lr) t)) 0.
  Proof.
    intros e b.
    apply (paca_gradient_vanishes idx inj quad quad_grad 0 beta quad_is_grad quad_bounded
             quad_lipschitz w0 1 (fun _ => lr) _ (constant_step_gain beta lr e b)).
    intros t; unfold eta; rewrite !Rmult_1_r; lra.
  Qed.

  (** The bound eta < 2/beta cannot be relaxed: beyond it, on this loss, every step of PaCA
      INCREASES the loss (unless the trained weights are all zero). *)
  Theorem quad_step_too_large {J} `{Finite J} (idx : J -> I) lr w :
    0 < beta -> 2 < beta * lr -> 0 < dot (proj idx w) (proj idx w) ->
    quad w < quad (gd_step quad_grad (proj idx) lr w).
  Proof.
    intros b e pos; unfold quad, gd_step; rewrite dot_along.
    replace (proj idx (quad_grad w)) with (fun i => beta * proj idx w i)
      by (extensionality i; unfold proj, quad_grad; destruct (selected idx i); lra).
    rewrite !dot_scal_r, (dot_comm (fun i => beta * proj idx w i)), dot_scal_r.
    replace (dot w (proj idx w)) with (dot (proj idx w) (proj idx w))
      by (rewrite (proj_self_adjoint idx), (proj_idem idx); reflexivity).
    set (p := dot (proj idx w) (proj idx w)) in *; set (x := beta * lr) in *.
    replace (beta / 2 * (dot w w + 2 * - lr * (beta * p) + - lr * - lr * (beta * (beta * p))))
      with (beta / 2 * dot w w + beta / 2 * (x * (x - 2)) * p) by (unfold x; field).
    assert (0 < x * (x - 2)) by (apply Rmult_lt_0_compat; lra).
    assert (0 < beta / 2 * (x * (x - 2)) * p)
      by (apply Rmult_lt_0_compat; auto; apply Rmult_lt_0_compat; lra).
    lra.
  Qed.
End Example.
