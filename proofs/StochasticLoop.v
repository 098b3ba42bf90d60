(** train/loop.ts with batches drawn by chance: the stochastic bound for the loop as it runs, gradient accumulation
    included. Each step draws one of finitely many batches, independently; a batch is its micro-batches in their order of
    addition.

    Intuition: the objective is the mean over the batches, so a drawn batch's gradient is right on average (that is proved
    here, not assumed), and what it errs by matters only in the columns that train. *)
From Coq Require Import List Reals Lra FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Gradient Frechet Maps Differential Backprop
  Descent Convergence Stochastic Loop.
Import ListNotations.
Open Scope R_scope.

Section Drawn.
  Context {C D : ftype} (n : net (A := R) C D).
  Hypothesis distinct : no_repeats n.
  Context {Batch : Type} `{Finite Batch}.
  Variable data : Batch -> batch R C D.
  Variable loss : forall b, micro (data b) -> act (A := R) D -> R.
  Hypothesis maps : forall b m w, maps_ok n w (input (data b) m).
  Hypothesis loss_ok : forall b m Y, is_fgrad (loss b m) Y (dloss (data b) m Y).
  Variable p : Batch -> R.
  Hypothesis p_pos : forall b, 0 <= p b.
  Hypothesis p_one : sum p = 1.

  (** The objective is the expected loss of a batch. *)
  Definition expected_loss w := E p (fun b => objective n (data b) (loss b) w).
  Definition batch_gradient b := gradient n (data b).
  Definition expected_gradient w : widx n -> R := fun i => E p (fun b => batch_gradient b w i).

  Theorem expected_gradient_ok w : is_grad expected_loss w (expected_gradient w).
  Proof.
    apply fgrad_grad, diff_grad.
    refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _ (diff_sum _ _ _
      (fun b => diff_scal (p b) _ _ _ (accumulated_differential n (data b) (loss b) (loss_ok b) w (fun m => maps b m w))))).
    intros d; unfold expected_gradient, E; symmetry; unfold dot at 1.
    transitivity (sum (fun i => sum (fun b => p b * (batch_gradient b w i * d i)))).
    - apply sum_ext; intros i; rewrite <- sum_scal_r; apply sum_ext; intros; lra.
    - rewrite sum_swap; apply sum_ext; intros b; now rewrite sum_scal.
  Qed.

  (** The gradient that the loop computes on a drawn batch is unbiased: on average it is the gradient of the expected loss, on
      the trained columns. *)
  Theorem batch_gradient_unbiased w :
    is_grad expected_loss w (expected_gradient w) /\
    forall j, E p (fun b => paca_gradient_of 0 Rplus Rmult n (fun _ g => g) (data b) w j)
      = gather (trained n) (expected_gradient w) j.
  Proof.
    split; [apply expected_gradient_ok | intros j; apply E_ext]; intros b; unfold paca_gradient_of, batch_gradient, gradient, full_gradient_of.
    apply red_ext; intros m; apply micro_gradient_full.
  Qed.

  Variables (s rate : R) (w0 : widx n -> R) (any : Batch).
  (** The weights after the loop has run on these batches. *)
  Definition weights_after (bs : list Batch) : widx n -> R := weights_of (trained n) (put_delta w0 s) w0
    (fst (train 0 Rplus Rmult n (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd (fun _ => rate))
            (fun t => data (nth t bs any)) (length bs))).

  Lemma weights_after_run bs :
    weights_after bs = run_on (proj (trained n)) batch_gradient (rate * (s * s)) bs w0.
  Proof.
    induction bs as [| b bs IH] using rev_ind.
    - extensionality i; unfold weights_after, weights_of, gather, scatter; simpl.
      destruct (preimage (trained n) i) as [j |] eqn:e; auto.
      rewrite <- (preimage_some _ _ _ e); apply put_delta_start.
    - unfold run_on in *; rewrite fold_left_app; simpl; rewrite <- IH.
      unfold weights_after at 1; rewrite app_length, PeanoNat.Nat.add_1_r.
      assert (e := fun batch_at => train_paca 0 Rplus Rmult n (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt
        (sgd (fun _ => rate)) batch_at).
      assert (f : forall batch_at T, train 0 Rplus Rmult n (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt
          (sgd (fun _ => rate)) batch_at T
        = paca (trained n) (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd (fun _ => rate))
            (fun t => gradient n (batch_at t)) T).
      { intros batch_at T; rewrite e, <- paca_pull.
        replace (full_grad 0 Rplus Rmult n (pull_delta s) batch_at)
          with (fun t w i => pull_delta s i (gradient n (batch_at t) w i)); auto.
        extensionality t; extensionality w; extensionality i; unfold full_grad, gradient, full_gradient_of, pull_delta.
        now rewrite !red_sum, sum_scal. }
      rewrite f.
      rewrite (sgd_step_on_weights (trained n) (trained_inj n distinct) w0 s (fun _ => rate)
                 (fun t => gradient n (data (nth t (bs ++ [b]) any))) (length bs)).
      rewrite <- f, (train_ext _ _ _ n _ _ _ _ _ _ _ (fun t => data (nth t bs any)))
        by (intros t ht; now rewrite app_nth1).
      rewrite nth_middle; reflexivity.
  Qed.

  Variables (Lmin beta sigma2 : R).
  Hypothesis bounded : forall w, Lmin <= expected_loss w.
  Hypothesis beta_pos : 0 <= beta.
  Hypothesis lipschitz : lipschitz_within (proj (trained n)) expected_gradient beta.
  Notation P := (proj (trained n)).
  (** The noise of a batch's gradient in the trained columns. *)
  Hypothesis variance : forall w, E p (fun b =>
    dot (vsub (P (batch_gradient b w)) (P (expected_gradient w)))
        (vsub (P (batch_gradient b w)) (P (expected_gradient w)))) <= sigma2.
  Notation step := (rate * (s * s)).
  Hypothesis step_pos : 0 < step.
  Hypothesis step_small : beta * step < 2.

  (** The expectation, over all runs of the loop, of the squared gradient in the trained columns, summed over T steps. *)
  Theorem training_expected_bound T :
    lsum (seq 0 T) (fun t => over_runs p t (fun bs =>
      dot (gather (trained n) (expected_gradient (weights_after bs)))
          (gather (trained n) (expected_gradient (weights_after bs)))))
    <= (expected_loss w0 - Lmin) / (step * (1 - beta * step / 2))
       + INR T * (beta * step * sigma2 / (2 - beta * step)).
  Proof.
    assert (unbiased : forall w i, E p (fun b => P (batch_gradient b w) i) = P (expected_gradient w) i).
    { intros w i; unfold proj; destruct (selected (trained n) i); auto.
      unfold E; rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra. }
    assert (h := expected_sum_bounded expected_loss expected_gradient Lmin expected_gradient_ok bounded P
      (proj_self_adjoint _) (proj_idem _) beta beta_pos lipschitz p p_pos p_one batch_gradient unbiased sigma2 variance
      step step_pos step_small T w0).
    refine (Rle_trans _ _ _ (Req_le _ _ _) h); apply lsum_ext; intros t _.
    rewrite <- expectation_over_runs; apply over_runs_ext; intros bs _.
    now rewrite weights_after_run, gather_norm by exact (trained_inj n distinct).
  Qed.
End Drawn.
