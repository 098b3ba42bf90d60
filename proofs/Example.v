(** Concrete networks on which every hypothesis of [training_converges] and of [training_expected_bound] holds, so none of
    them is empty: frozen features
    tanh(x), a linear layer of which some columns train, and the squared error, over micro-batches.

    Intuition: a linear layer under a squared error is a bowl; its steepness is the size of the features, and PaCA's steps
    must be below two over it. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Gradient Frechet Maps Differential Backprop
  Activations Losses Descent Convergence Stochastic Loop StochasticLoop.
Open Scope R_scope.

Lemma norm_grad_W {B O C} `{Finite B} `{Finite O} `{Finite C} (oc : order C) (ob : order B)
    (G : B * O -> R) (X : B * C -> R) : norm (rgrad_W ob G X) <= norm G * norm X.
Proof.
  set (d := rgrad_W ob G X).
  assert (h : norm d * norm d <= norm G * norm X * norm d).
  { rewrite norm_sqr; unfold d at 1; rewrite <- (forward_adjoint_W oc ob).
    eapply Rle_trans; [apply cauchy_schwarz |].
    assert (a := norm_forward oc d X); assert (b := norm_pos G); nra. }
  destruct (norm_pos d) as [p | z]; [now apply Rmult_le_reg_r with (norm d) |].
  rewrite <- z; apply Rmult_le_pos; apply norm_pos.
Qed.

Section Regression.
  (** Micro-batches, rows of each, features, outputs, trained columns. *)
  Context {M B C O K : ftype} (om : order M) (oc : order C) (oo : order O) (ob : order B) (idx : K -> C).
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.
  Variables (x : M -> fprod B C -> R) (y : M -> fprod B O -> R) (denominator : R).
  Hypothesis denominator_pos : 0 < denominator.

  Definition regression : net (A := R) (fprod B C) (fprod B O) :=
    Seq (Map (C := fprod B C) (D := fprod B C) (fun x i => tanh (x i))
           (fun x dy i => dy i * (1 - tanh (x i) * tanh (x i)))) (Linear oc oo ob idx).
  Definition regression_batch : batch R (fprod B C) (fprod B O) :=
    {| micro := M; added := om; input := x;
       dloss := fun m Y => squared_error_backward (y m) denominator Y 1 |}.
  Definition regression_loss (m : M) (Y : fprod B O -> R) := squared_error (y m) denominator Y.

  Lemma regression_maps_ok m w : maps_ok regression w (x m).
  Proof. split; [apply (vjp_tanh (I := fprod B C)) | exact I]. Qed.

  Lemma regression_loss_ok m Y : is_fgrad (regression_loss m) Y (squared_error_backward (y m) denominator Y 1).
  Proof.
    assert (h := squared_error_gradient (y m) denominator 1 Y).
    replace (regression_loss m) with (fun Y => 1 * squared_error (y m) denominator Y); auto.
    extensionality Z; unfold regression_loss; lra.
  Qed.

  Lemma regression_no_repeats : no_repeats regression.
  Proof. split; [exact I | exact idx_inj]. Qed.

  Definition feature m : fprod B C -> R := fun i => tanh (x m i).
  (** How steep the bowl is: 2/denominator times the squared size of the features. *)
  Definition steepness : R := 2 / denominator * sum (fun m => norm (feature m) * norm (feature m)).

  Lemma steepness_lipschitz u v :
    norm (vsub (gradient regression regression_batch u) (gradient regression regression_batch v))
    <= steepness * norm (vsub u v).
  Proof.
    set (f := fun m => both (fun e : Empty_set => match e return R with end)
      (rgrad_W ob (fun i => 2 / denominator * rforward oc (snd' (vsub u v)) (feature m) i) (feature m))).
    assert (e : vsub (gradient regression regression_batch u) (gradient regression regression_batch v)
                = fun i => sum (fun m => f m i)).
    { extensionality i; unfold vsub at 1, gradient, full_gradient_of; simpl; rewrite !(red_sum om), <- sum_minus.
      apply sum_ext; intros m; destruct i as [[] | [o c]]; simpl; unfold f, both, grad_W; rewrite !red_sum, <- sum_minus.
      apply sum_ext; intros r; unfold squared_error_backward, forward, snd', vsub; cbn [fst snd]; rewrite !red_sum.
      change (fun i => tanh (x m i)) with (feature m).
      replace (sum (fun c => feature m (r, c) * (u (inr (o, c)) - v (inr (o, c)))))
        with (sum (fun c => feature m (r, c) * u (inr (o, c))) - sum (fun c => feature m (r, c) * v (inr (o, c))))
        by (rewrite <- sum_minus; apply sum_ext; intros; ring).
      match goal with |- (?a - ?y) * ?q * ?t - (?b - _) * _ * _ = _ =>
        change ((a - y) * q * t - (b - y) * q * t = 2 / denominator * (a - b) * t) end.
      field; lra. }
    rewrite e; clear e.
    assert (two : 0 < 2 / denominator) by (apply Rdiv_lt_0_compat; lra).
    assert (each : forall m, norm (f m) <= 2 / denominator * (norm (feature m) * norm (feature m)) * norm (vsub u v)).
    { intros m; unfold f; eapply Rle_trans; [apply norm_both |].
      replace (norm (fun e : Empty_set => match e return R with end)) with 0 by (unfold norm; symmetry; apply sqrt_0).
      rewrite Rplus_0_l; eapply Rle_trans; [apply (norm_grad_W oc ob) |].
      rewrite norm_scal, Rabs_pos_eq by lra.
      assert (a := norm_forward oc (snd' (vsub u v)) (feature m)); assert (b := norm_snd (vsub u v)).
      assert (c := norm_pos (feature m)); assert (g := norm_pos (snd' (vsub u v))).
      apply Rle_trans with (2 / denominator * (norm (vsub u v) * norm (feature m)) * norm (feature m)).
      - apply Rmult_le_compat_r; auto; apply Rmult_le_compat_l; [lra |].
        eapply Rle_trans; [exact a | now apply Rmult_le_compat_r].
      - lra. }
    assert (tri : forall ms, norm (fun i => lsum ms (fun m => f m i)) <= lsum ms (fun m => norm (f m))).
    { induction ms as [| m ms IH]; simpl.
      - change (fun _ : Empty_set + O * C => 0) with (zero (I := Empty_set + O * C)); rewrite norm_zero; lra.
      - replace (fun i => f m i + lsum ms (fun m => f m i)) with (along (f m) 1 (fun i => lsum ms (fun m => f m i)))
          by (extensionality i; unfold along; lra).
        eapply Rle_trans; [apply norm_triangle | lra]. }
    eapply Rle_trans; [apply (tri (enum M)) |].
    eapply Rle_trans; [apply (sum_le _ _ each) |].
    unfold steepness; rewrite <- sum_scal, <- sum_scal_r; apply Req_le, sum_ext; intros; lra.
  Qed.

  Variables (s rate : R) (w0 : widx regression -> R).
  Hypothesis rate_pos : 0 < rate * (s * s).
  Hypothesis rate_small : steepness * (rate * (s * s)) < 2.

  (** PaCA's training of this network converges; nothing is assumed of the data, of the columns (but that none is listed
      twice), of the micro-batches or of the order of any sum. *)
  Theorem regression_training_converges :
    let c := rate * (s * s) * (1 - steepness * (rate * (s * s)) / 2) in
    let w := trained_weights regression regression_batch s (fun _ => rate) w0 in
    let g := computed_gradient regression regression_batch s (fun _ => rate) w0 in
    let L := objective regression regression_batch regression_loss in
    (forall t, L (w (S t)) <= L (w t) - c * dot (g t) (g t)) /\
    (forall T, lsum (seq 0 T) (fun t => dot (g t) (g t)) <= (L w0 - 0) / c) /\
    Un_cv (fun t => dot (g t) (g t)) 0.
  Proof.
    intros c w g L.
    apply (training_converges regression regression_batch regression_loss regression_no_repeats
      regression_loss_ok s (fun _ => rate) w0 0 steepness rate (fun _ => eq_refl)); auto using steepness_lipschitz, regression_maps_ok.
    intros u; apply sum_nonneg; intros m; now apply squared_error_nonneg.
  Qed.
End Regression.

(** ** Batches by chance: the same inputs, targets that are drawn (noisy labels) *)
Section NoisyTargets.
  Context {M B C O K : ftype} (om : order M) (oc : order C) (oo : order O) (ob : order B) (idx : K -> C).
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.
  Context {Batch : Type} `{Finite Batch}.
  Variables (x : M -> fprod B C -> R) (y : Batch -> M -> fprod B O -> R) (denominator : R).
  Hypothesis denominator_pos : 0 < denominator.
  Variable p : Batch -> R.
  Hypothesis p_pos : forall b, 0 <= p b.
  Hypothesis p_one : sum p = 1.
  Variable any : Batch.

  Notation net := (regression oc oo ob idx).
  Definition noisy b := regression_batch om x (y b) denominator.
  Definition noisy_loss b := regression_loss (M := M) (y b) denominator.
  Notation g := (fun b => gradient net (noisy b)).
  Notation mean := (expected_gradient net noisy p).

  (** What two batches' gradients differ by does not depend on the weights. *)
  Lemma noise_is_constant b b' u v i : g b u i - g b' u i = g b v i - g b' v i.
  Proof.
    assert (h : forall w, g b w i - g b' w i = sum (fun m => match i with
      | inl e => match e return R with end
      | inr (o, c) => sum (fun r => (y b' m (r, o) - y b m (r, o)) * (1 * 2 / denominator) * tanh (x m (r, c)))
      end)).
    { intros w; cbv beta; unfold gradient, full_gradient_of; simpl; rewrite !(red_sum om), <- sum_minus.
      apply sum_ext; intros m; destruct i as [[] | [o c]]; simpl; unfold both, grad_W; rewrite !red_sum, <- sum_minus.
      apply sum_ext; intros r; unfold squared_error_backward; cbn [fst snd].
      match goal with |- (?a - ?y1) * ?q * ?t - (_ - ?y2) * _ * _ = _ =>
        change ((a - y1) * q * t - (a - y2) * q * t = (y2 - y1) * q * t) end.
      ring. }
    exact (eq_trans (h u) (eq_sym (h v))).
  Qed.

  Lemma mean_moves_as_one b u v i : mean u i - mean v i = g b u i - g b v i.
  Proof.
    unfold expected_gradient, batch_gradient, E.
    rewrite <- sum_minus, (sum_ext _ (fun b' => p b' * (g b u i - g b v i))).
    - rewrite sum_scal_r, p_one; lra.
    - intros b'; assert (h := noise_is_constant b' b u v i); cbv beta in *; nra.
  Qed.

  Lemma mean_lipschitz u v : norm (vsub (mean u) (mean v)) <= steepness (B := B) x denominator * norm (vsub u v).
  Proof.
    replace (vsub (mean u) (mean v)) with (vsub (g any u) (g any v))
      by (extensionality i; symmetry; apply mean_moves_as_one).
    now apply steepness_lipschitz.
  Qed.

  Variables (s rate : R) (w0 : widx net -> R).
  (** The noise in the trained columns, at any weights: it is the same everywhere. *)
  Definition noise : R := E p (fun b =>
    dot (vsub (proj (trained net) (g b w0)) (proj (trained net) (mean w0)))
        (vsub (proj (trained net) (g b w0)) (proj (trained net) (mean w0)))).
  Hypothesis rate_pos : 0 < rate * (s * s).
  Hypothesis rate_small : steepness (B := B) x denominator * (rate * (s * s)) < 2.

  Theorem noisy_regression_bound T :
    let step := rate * (s * s) in
    let beta := steepness (B := B) x denominator in
    let L := expected_loss net noisy noisy_loss p in
    let at_end bs := gather (trained net) (mean (weights_after net noisy s rate w0 any bs)) in
    lsum (seq 0 T) (fun t => over_runs p t (fun bs => dot (at_end bs) (at_end bs)))
    <= (L w0 - 0) / (step * (1 - beta * step / 2)) + INR T * (beta * step * noise / (2 - beta * step)).
  Proof.
    intros step beta L at_end.
    apply (training_expected_bound net (regression_no_repeats oc oo ob idx idx_inj) noisy noisy_loss
      (fun b m w => regression_maps_ok oc oo ob idx x m w) (fun b m Y => regression_loss_ok (y b) denominator m Y)
      p p_pos p_one s rate w0 any 0 beta noise); auto.
    - intros w; apply sum_nonneg; intros b; apply Rmult_le_pos; auto.
      apply sum_nonneg; intros m; now apply squared_error_nonneg.
    - unfold beta, steepness; apply Rmult_le_pos; [apply Rlt_le, Rdiv_lt_0_compat; lra |].
      apply sum_nonneg; intros m; apply Rmult_le_pos; apply norm_pos.
    - apply lipschitz_proj; exact mean_lipschitz.
    - intros w; apply Req_le, E_ext; intros b.
      replace (vsub (proj (trained net) (batch_gradient net noisy b w)) (proj (trained net) (mean w)))
        with (vsub (proj (trained net) (g b w0)) (proj (trained net) (mean w0))); auto.
      extensionality i; unfold vsub, proj; destruct (selected (trained net) i); [| lra].
      assert (h := mean_moves_as_one b w w0 i); unfold batch_gradient; cbv beta in *; lra.
  Qed.
End NoisyTargets.
