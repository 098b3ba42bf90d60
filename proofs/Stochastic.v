(** Stochastic masked gradient descent (mini-batches): the same bound in expectation, up to the gradient noise in the
    trained columns alone.  The sample space is finite (the batches of a finite data set are).

    Intuition: noise in directions that do not train costs nothing.  A small subspace sees a small part of the noise. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite GatherScatter Gradient Descent.
Open Scope R_scope.

Section Stochastic.
  Context {I : Type} `{Finite I}.
  Variable L : (I -> R) -> R.
  Variable gL : (I -> R) -> (I -> R).
  Variable Lmin : R.
  Hypothesis gL_grad : forall w, is_grad L w (gL w).
  Hypothesis bounded : forall w, Lmin <= L w.
  Variable P : (I -> R) -> (I -> R).
  Hypothesis P_self : forall u v, dot (P u) v = dot u (P v).
  Hypothesis P_idem : forall v, P (P v) = P v.
  Variable beta : R.
  Hypothesis beta_pos : 0 <= beta.
  Hypothesis lipschitz : lipschitz_within P gL beta.

  (** Mini-batch b is drawn with probability p b; its gradient is unbiased, and its variance
      bounded, on the trained subspace. *)
  Context {Batch : Type} `{Finite Batch}.
  Variable p : Batch -> R.
  Hypothesis p_pos : forall b, 0 <= p b.
  Hypothesis p_one : sum p = 1.
  Variable gB : Batch -> (I -> R) -> (I -> R).
  Definition E (f : Batch -> R) : R := sum (fun b => p b * f b).
  Hypothesis unbiased : forall w i, E (fun b => P (gB b w) i) = P (gL w) i.
  Variable sigma2 : R.
  Hypothesis variance : forall w,
    E (fun b => dot (vsub (P (gB b w)) (P (gL w))) (vsub (P (gB b w)) (P (gL w)))) <= sigma2.

  Lemma E_ext f g : (forall b, f b = g b) -> E f = E g.
  Proof. intros h; apply sum_ext; intros; now rewrite h. Qed.
  Lemma E_plus f g : E (fun b => f b + g b) = E f + E g.
  Proof. unfold E; rewrite <- sum_plus; apply sum_ext; intros; lra. Qed.
  Lemma E_scal a f : E (fun b => a * f b) = a * E f.
  Proof. unfold E; rewrite <- sum_scal; apply sum_ext; intros; lra. Qed.
  Lemma E_const a : E (fun _ => a) = a.
  Proof.
    transitivity (a * sum p); [| rewrite p_one; lra].
    rewrite <- sum_scal; apply sum_ext; intros; lra.
  Qed.
  Lemma E_le f g : (forall b, f b <= g b) -> E f <= E g.
  Proof. intros h; apply sum_le; intros b; apply Rmult_le_compat_l; auto. Qed.
  Lemma E_dot v (X : Batch -> I -> R) :
    E (fun b => dot v (X b)) = dot v (fun i => E (fun b => X b i)).
  Proof.
    unfold E, dot.
    transitivity (sum (fun b => sum (fun i => p b * (v i * X b i)))).
    { apply sum_ext; intros b; now rewrite <- sum_scal. }
    rewrite sum_swap; apply sum_ext; intros i; rewrite <- sum_scal; apply sum_ext; intros; lra.
  Qed.

  Variable eta : R.
  Definition sgd_step b w : I -> R := along w (- eta) (P (gB b w)).
  Notation pg2 := (pg2 gL P).

  Theorem sgd_step_descent w :
    E (fun b => L (sgd_step b w))
    <= L w - eta * (1 - beta * eta / 2) * pg2 w + beta * (eta * eta) / 2 * sigma2.
  Proof.
    set (m := P (gL w)).
    assert (one : forall b, L (sgd_step b w) <= L w + - eta * dot (gL w) (P (gB b w))
       + beta * (eta * eta) / 2 * (dot m m + (2 * dot m (P (gB b w)) + (- 2 * dot m m
          + dot (vsub (P (gB b w)) m) (vsub (P (gB b w)) m))))).
    { intros b; set (x := P (gB b w)).
      assert (h := quadratic_bound P P_self L gL beta lipschitz w (fun i => - eta * x i) gL_grad
                     ltac:(unfold x; now rewrite (P_scal P P_self), P_idem)).
      replace (along w 1 (fun i => - eta * x i)) with (sgd_step b w) in h
        by (extensionality i; unfold sgd_step, along, x; lra).
      rewrite !dot_scal_r, (dot_comm (fun i => - eta * x i)), dot_scal_r in h.
      rewrite !dot_sub_l, (dot_comm x (vsub x m)), (dot_comm m (vsub x m)), !dot_sub_l.
      rewrite (dot_comm x m); lra. }
    eapply Rle_trans; [apply E_le, one |].
    rewrite !E_plus, E_scal, E_scal, !E_plus, !E_const, !E_scal, !E_dot.
    replace (fun i => E (fun b => P (gB b w) i)) with m
      by (extensionality i; now rewrite unbiased).
    assert (v := variance w); fold m in v.
    replace (dot (gL w) m) with (pg2 w)
      by (unfold Descent.pg2, m; now rewrite P_self, P_idem).
    change (dot m m) with (pg2 w).
    assert (k : 0 <= beta * (eta * eta) / 2) by (assert (s := Rle_0_sqr eta); unfold Rsqr in s; nra).
    nra.
  Qed.

  (** Expectation of F at the t-th iterate of the random trajectory from w, each batch drawn anew. *)
  Fixpoint ET (t : nat) (F : (I -> R) -> R) (w : I -> R) : R :=
    match t with O => F w | S t => E (fun b => ET t F (sgd_step b w)) end.

  (** The same as the expectation over all sequences of t batches, of what F is at the end of the run on them. *)
  Fixpoint over_runs (t : nat) (F : list Batch -> R) : R :=
    match t with O => F nil | S t => E (fun b => over_runs t (fun bs => F (b :: bs)%list)) end.
  Definition run_on (bs : list Batch) w : I -> R := fold_left (fun w b => sgd_step b w) bs w.

  Lemma over_runs_ext t F G : (forall bs, length bs = t -> F bs = G bs) -> over_runs t F = over_runs t G.
  Proof.
    revert F G; induction t as [| t IH]; intros F G h; simpl; [now apply h |].
    apply E_ext; intros b; apply IH; intros bs e; apply h; simpl; now rewrite e.
  Qed.

  Theorem expectation_over_runs t F w : over_runs t (fun bs => F (run_on bs w)) = ET t F w.
  Proof.
    revert w; induction t as [| t IH]; intros w; simpl; auto.
    apply E_ext; intros b; apply IH.
  Qed.

  Hypothesis eta_pos : 0 < eta.
  Hypothesis eta_small : beta * eta < 2.

  Theorem expected_sum_bounded T w :
    lsum (seq 0 T) (fun t => ET t pg2 w)
    <= (L w - Lmin) / (eta * (1 - beta * eta / 2))
       + INR T * (beta * eta * sigma2 / (2 - beta * eta)).
  Proof.
    set (c := eta * (1 - beta * eta / 2)); assert (cp : 0 < c) by (unfold c; nra).
    set (K := beta * eta * sigma2 / (2 - beta * eta)).
    assert (ck : c * K = beta * (eta * eta) / 2 * sigma2) by (unfold c, K; field; lra).
    revert w; induction T as [| T IH]; intros w.
    - simpl; assert (b := bounded w); apply Rmult_le_reg_l with c; auto.
      replace (c * ((L w - Lmin) / c + 0 * K)) with (L w - Lmin) by (field; lra); lra.
    - rewrite S_INR; simpl seq; simpl lsum.
      rewrite <- seq_shift, lsum_map; simpl ET.
      replace (lsum (seq 0 T) (fun t => E (fun b => ET t pg2 (sgd_step b w))))
        with (E (fun b => lsum (seq 0 T) (fun t => ET t pg2 (sgd_step b w)))).
      2: { unfold E, sum; rewrite lsum_swap; apply lsum_ext; intros b _; now rewrite lsum_scal. }
      eapply Rle_trans; [apply Rplus_le_compat_l, E_le; intros b; apply IH |].
      rewrite E_plus, E_const.
      replace (E (fun b => (L (sgd_step b w) - Lmin) / c))
        with ((E (fun b => L (sgd_step b w)) - Lmin) / c).
      2: { transitivity (E (fun b => / c * L (sgd_step b w) + - Lmin / c)).
           - rewrite E_plus, E_scal, E_const; field; lra.
           - apply E_ext; intros; field; lra. }
      assert (s := sgd_step_descent w); fold c in s.
      assert (q : (E (fun b => L (sgd_step b w)) - Lmin) / c <= (L w - Lmin) / c - pg2 w + K).
      { apply Rmult_le_reg_l with c; auto.
        replace (c * ((E (fun b => L (sgd_step b w)) - Lmin) / c))
          with (E (fun b => L (sgd_step b w)) - Lmin) by (field; lra).
        replace (c * ((L w - Lmin) / c - pg2 w + K))
          with (L w - Lmin - c * pg2 w + c * K) by (field; lra); lra. }
      lra.
  Qed.
End Stochastic.
