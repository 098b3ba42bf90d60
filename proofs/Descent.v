(** Masked gradient descent on a smooth, possibly non-convex loss.

    Intuition: each step walks downhill within the small subspace that PaCA trains. As long as the slope does not change too
    fast along the step, the loss falls by a fixed share of the squared slope; a loss that is bounded below can fall only so
    often, so the slope within the subspace must fade. Nothing is said about the slope outside: that is the price. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite GatherScatter Gradient.
Open Scope R_scope.

(** ** The descent lemma, from the Lipschitz gradient (mean value theorem, no integral). *)
Section DescentLemma.
  Context {I : Type} `{Finite I}.
  Variable L : (I -> R) -> R.
  Variable gL : (I -> R) -> (I -> R).

  Lemma derivative_along w d t : is_grad L (along w t d) (gL (along w t d)) ->
    derivable_pt_lim (fun s => L (along w s d)) t (dot (gL (along w t d)) d).
  Proof.
    intros gL_grad eps he; destruct (gL_grad d eps he) as [delta h].
    exists delta; intros s s0 sd; specialize (h s s0 sd).
    replace (along w (t + s) d) with (along (along w t d) (0 + s) d)
      by (extensionality i; unfold along; lra).
    replace (along (along w t d) 0 d) with (along w t d) in h
      by (extensionality i; unfold along; lra).
    exact h.
  Qed.

  (** Only the segment from w to w + d matters: there the loss must have the gradient, and a one-sided bound is enough. *)
  Lemma descent_segment beta w d :
    (forall t, 0 <= t <= 1 -> is_grad L (along w t d) (gL (along w t d))) ->
    (forall t, 0 <= t <= 1 -> dot (vsub (gL (along w t d)) (gL w)) d <= beta * t * dot d d) ->
    L (along w 1 d) <= L w + dot (gL w) d + beta / 2 * dot d d.
  Proof.
    intros gL_grad lip.
    pose (psi := fun t => L (along w t d) - t * dot (gL w) d - beta / 2 * dot d d * (t * t)).
    pose (psi' := fun t => dot (gL (along w t d)) d - dot (gL w) d - beta * dot d d * t).
    assert (der : forall c, 0 <= c <= 1 -> derivable_pt_lim psi c (psi' c)).
    { intros c hc.
      replace (psi' c) with (dot (gL (along w c d)) d - 1 * dot (gL w) d
        - beta / 2 * dot d d * (1 * c + c * 1)) by (unfold psi'; field).
      apply (derivable_pt_lim_minus (fun t => L (along w t d) - t * dot (gL w) d)
               (fun t => beta / 2 * dot d d * (t * t))).
      - apply (derivable_pt_lim_minus (fun t => L (along w t d)) (fun t => t * dot (gL w) d));
          [apply derivative_along, gL_grad, hc |].
        replace (1 * dot (gL w) d) with (1 * dot (gL w) d + c * 0) by lra.
        apply (derivable_pt_lim_mult (fun t => t) (fun _ => dot (gL w) d));
          [apply derivable_pt_lim_id | apply derivable_pt_lim_const].
      - apply (derivable_pt_lim_scal (fun t => t * t)).
        apply (derivable_pt_lim_mult (fun t => t) (fun t => t)); apply derivable_pt_lim_id. }
    destruct (MVT_cor2 psi psi' 0 1 Rlt_0_1 der) as [c [e hc]].
    assert (le : psi' c <= 0).
    { unfold psi'; assert (hl := lip c ltac:(lra)); rewrite dot_sub_l in hl; lra. }
    assert (z : along w 0 d = w) by (extensionality i; unfold along; lra).
    unfold psi in e; rewrite z in e; lra.
  Qed.
End DescentLemma.

(** ** Orthogonal projections.  For PaCA: zero the coordinates that are not selected. *)
Section Projection.
  Context {I : Type} `{Finite I}.
  Variable P : (I -> R) -> (I -> R).
  Hypothesis P_self : forall u v, dot (P u) v = dot u (P v).
  Hypothesis P_idem : forall v, P (P v) = P v.

  Lemma P_scal a v : P (fun i => a * v i) = fun i => a * P v i.
  Proof.
    apply dot_eq; intros d.
    now rewrite P_self, (dot_comm _ (P d)), dot_scal_r, (dot_comm _ d), dot_scal_r, P_self.
  Qed.

  Lemma P_fix_sub u v : P u = u -> P v = v -> P (vsub u v) = vsub u v.
  Proof.
    intros pu pv; apply dot_eq; intros d; rewrite P_self, !dot_sub_l, <- !P_self.
    now rewrite pu, pv.
  Qed.

  (** A gradient that is beta-Lipschitz WITHIN the trained subspace (beta may be smaller than
      the Lipschitz constant of the full gradient) gives the quadratic upper bound there. *)
  Variable L : (I -> R) -> R.
  Variable gL : (I -> R) -> (I -> R).
  Variable beta : R.
  Definition lipschitz_within := forall w d, P d = d ->
    norm (vsub (P (gL (along w 1 d))) (P (gL w))) <= beta * norm d.
  Hypothesis lipschitz : lipschitz_within.

  Lemma smooth_segment w d t : P d = d -> 0 <= t <= 1 ->
    dot (vsub (gL (along w t d)) (gL w)) d <= beta * t * dot d d.
  Proof.
    intros pd ht.
    replace (dot (vsub (gL (along w t d)) (gL w)) d)
      with (dot (vsub (P (gL (along w t d))) (P (gL w))) d)
      by (rewrite !dot_sub_l, !P_self, pd; auto).
    eapply Rle_trans; [apply cauchy_schwarz |].
    assert (h := lipschitz w (fun i => t * d i) ltac:(now rewrite P_scal, pd)).
    replace (along w 1 (fun i => t * d i)) with (along w t d) in h
      by (extensionality i; unfold along; lra).
    rewrite norm_scal, Rabs_pos_eq in h by lra.
    rewrite <- (norm_sqr d); assert (n := norm_pos d); nra.
  Qed.

  Lemma quadratic_bound w d : (forall w, is_grad L w (gL w)) -> P d = d ->
    L (along w 1 d) <= L w + dot (gL w) d + beta / 2 * dot d d.
  Proof.
    intros gr pd; apply (descent_segment L gL); [intros; apply gr |]; intros t ht; now apply smooth_segment.
  Qed.
End Projection.

(** ** Masked gradient descent: w_{t+1} = w_t - eta_t P grad L(w_t). *)
Section Masked.
  Context {I : Type} `{Finite I}.
  (** The loss need not be convex. *)
  Variable L : (I -> R) -> R.
  Variable gL : (I -> R) -> (I -> R).

  Variable P : (I -> R) -> (I -> R).
  Hypothesis P_self : forall u v, dot (P u) v = dot u (P v).
  Hypothesis P_idem : forall v, P (P v) = P v.

  (** Step sizes (any schedule), pretrained weights, iterates. *)
  Variable eta : nat -> R.
  Variable w0 : I -> R.
  Definition gd_step (eta : R) w : I -> R := along w (- eta) (P (gL w)).
  Fixpoint iter (t : nat) : I -> R :=
    match t with O => w0 | S t => gd_step (eta t) (iter t) end.
  (** Squared norm of the gradient that PaCA sees. *)
  Definition pg2 w := dot (P (gL w)) (P (gL w)).
  Lemma pg2_pos w : 0 <= pg2 w.
  Proof. apply dot_pos. Qed.

  (** A gradient and smoothness are needed along the segments the run walks, nowhere else, and from above only; [beta t] may differ from
      step to step ([paca verify-convergence] samples it); [smooth_segment] derives it from a Lipschitz gradient. *)
  Variable beta : nat -> R.
  Definition move t : I -> R := fun i => - eta t * P (gL (iter t)) i.
  Definition differentiable_along_run := forall t s, 0 <= s <= 1 ->
    is_grad L (along (iter t) s (move t)) (gL (along (iter t) s (move t))).
  Hypothesis differentiable : differentiable_along_run.
  Definition smooth_along_run := forall t s, 0 <= s <= 1 ->
    dot (vsub (gL (along (iter t) s (move t))) (gL (iter t))) (move t)
    <= beta t * s * dot (move t) (move t).
  Hypothesis smooth : smooth_along_run.
  Definition gain t := eta t * (1 - beta t * eta t / 2).

  (** The loss after a step, for any step size. *)
  Theorem masked_step_descent t :
    L (iter (S t)) <= L (iter t) - gain t * pg2 (iter t).
  Proof.
    assert (h := descent_segment L gL (beta t) (iter t) (move t) (differentiable t) (smooth t)).
    replace (along (iter t) 1 (move t)) with (iter (S t)) in h
      by (extensionality i; simpl; unfold gd_step, move, along; lra).
    unfold move in h.
    rewrite !dot_scal_r, (dot_comm (fun i => - eta t * P (gL (iter t)) i)), dot_scal_r in h.
    replace (dot (gL (iter t)) (P (gL (iter t)))) with (pg2 (iter t)) in h
      by (unfold pg2; now rewrite P_self, P_idem).
    fold (pg2 (iter t)) in h; unfold gain; lra.
  Qed.

  Theorem weighted_sum_bounded T :
    lsum (seq 0 T) (fun t => gain t * pg2 (iter t)) <= L w0 - L (iter T).
  Proof.
    induction T as [| T IH]; [simpl; lra |].
    rewrite seq_S, lsum_app; simpl plus; simpl lsum at 2.
    assert (h := masked_step_descent T); lra.
  Qed.

  (** From here on: the loss is bounded below (on the run), and the gains do not vanish:
      0 < c <= eta_t (1 - beta eta_t / 2), e.g. a constant 0 < eta < 2/beta. *)
  Variable Lmin : R.
  Hypothesis bounded : forall t, Lmin <= L (iter t).
  Variable c : R.
  Hypothesis c_pos : 0 < c.
  Hypothesis c_gain : forall t, c <= gain t.

  (** The loss never increases. *)
  Theorem monotone t : L (iter (S t)) <= L (iter t).
  Proof.
    assert (h := masked_step_descent t); assert (p := pg2_pos (iter t)).
    assert (g := c_gain t); nra.
  Qed.

  (** The sum of squared gradient norms is bounded, for all T. *)
  Theorem sum_bounded T :
    lsum (seq 0 T) (fun t => pg2 (iter t)) <= (L w0 - Lmin) / c.
  Proof.
    apply Rmult_le_reg_l with c; auto.
    replace (c * ((L w0 - Lmin) / c)) with (L w0 - Lmin) by (field; lra).
    rewrite <- lsum_scal; eapply Rle_trans; [apply lsum_le |].
    - intros t; apply Rmult_le_compat_r; [apply pg2_pos | apply c_gain].
    - eapply Rle_trans; [apply weighted_sum_bounded | assert (b := bounded T); lra].
  Qed.

  (** O(1/T) rate of the best iterate. *)
  Theorem best_iterate T : (0 < T)%nat ->
    exists t, (t < T)%nat /\ pg2 (iter t) <= (L w0 - Lmin) / (INR T * c).
  Proof.
    intros hT.
    assert (best : exists t, (t < T)%nat /\
              INR T * pg2 (iter t) <= lsum (seq 0 T) (fun t => pg2 (iter t))).
    { clear - hT; induction T as [| T IH]; [inversion hT |].
      rewrite seq_S, lsum_app; simpl lsum at 2; simpl plus.
      destruct T as [| T]; [exists O; split; auto; simpl; lra |].
      destruct IH as [t [ht h]]; [apply PeanoNat.Nat.lt_0_succ |].
      rewrite (S_INR (S T)).
      assert (p : 0 <= INR (S T)) by apply pos_INR.
      destruct (Rle_dec (pg2 (iter t)) (pg2 (iter (S T)))) as [a | a].
      - exists t; split; [auto | lra].
      - exists (S T); split; [auto | nra]. }
    destruct best as [t [ht h]]; exists t; split; auto.
    assert (p : 0 < INR T) by now apply lt_0_INR.
    apply Rmult_le_reg_l with (INR T); auto.
    replace (INR T * ((L w0 - Lmin) / (INR T * c))) with ((L w0 - Lmin) / c) by (field; lra).
    eapply Rle_trans; [exact h | apply sum_bounded].
  Qed.

  (** The losses converge, and the gradient that PaCA sees tends to zero. *)
  Theorem loss_converges : { l | Un_cv (fun t => L (iter t)) l }.
  Proof.
    apply decreasing_cv; [exact monotone | exists (- Lmin); intros x [t ->]; unfold opp_seq].
    assert (b := bounded t); lra.
  Qed.

  Theorem gradient_vanishes : Un_cv (fun t => pg2 (iter t)) 0.
  Proof.
    destruct loss_converges as [l hl]; intros eps he.
    assert (hc : 0 < c * eps / 2) by nra.
    destruct (hl _ hc) as [N hN]; exists N; intros t ht; unfold R_dist.
    assert (a := hN t ht); assert (b := hN (S t) (le_S _ _ ht)).
    unfold R_dist in a, b; apply Rabs_def2 in a; apply Rabs_def2 in b.
    assert (p := pg2_pos (iter t)); rewrite Rminus_0_r, Rabs_pos_eq by auto.
    assert (h := masked_step_descent t); assert (g := c_gain t).
    assert (c * pg2 (iter t) < c * eps) by nra.
    now apply Rmult_lt_reg_l with c.
  Qed.

  (** Every limit point of the run (the limit along any subsequence phi) at which the
      gradient PaCA sees is continuous is a stationary point of the restricted problem: no
      admissible direction has a slope. *)
  Lemma P_range t : P (vsub (iter t) w0) = vsub (iter t) w0.
  Proof.
    induction t as [| t IH]; simpl.
    - replace (vsub w0 w0) with (fun i => 0 * w0 i) by (extensionality i; unfold vsub; lra).
      rewrite (P_scal P P_self); extensionality i; lra.
    - replace (vsub (gd_step (eta t) (iter t)) w0)
        with (vsub (vsub (iter t) w0) (fun i => eta t * P (gL (iter t)) i))
        by (extensionality i; unfold vsub, gd_step, along; lra).
      apply (P_fix_sub P P_self); [exact IH | now rewrite (P_scal P P_self), P_idem].
  Qed.

  (** From here on the loss has a gradient at the limit too. *)
  Hypothesis gL_grad : forall w, is_grad L w (gL w).

  Definition stationary w := forall d, P d = d -> derivable_pt_lim (fun t => L (along w t d)) 0 0.

  Lemma stationary_iff w : pg2 w = 0 <-> stationary w.
  Proof.
    split.
    - intros z d pd; replace 0 with (dot (gL w) d) at 2; [apply gL_grad |].
      rewrite <- pd, <- P_self; unfold dot; rewrite <- (sum_0 (I := I)).
      apply sum_ext; intros i; rewrite (dot_zero _ z i); lra.
    - intros st; specialize (st (P (gL w)) (P_idem _)).
      assert (g := gL_grad w (P (gL w))).
      assert (e := uniqueness_limite _ _ _ _ g st).
      unfold pg2; now rewrite P_self, P_idem.
  Qed.

  Definition continuous_within w := forall eps, 0 < eps -> exists delta, 0 < delta /\
    forall x, P (vsub w x) = vsub w x -> norm (vsub w x) < delta ->
              norm (vsub (P (gL w)) (P (gL x))) < eps.

  Theorem limit_is_stationary (phi : nat -> nat) w :
    (forall N, exists M, forall k, (M <= k)%nat -> (N <= phi k)%nat) ->
    P (vsub w w0) = vsub w w0 -> continuous_within w ->
    Un_cv (fun k => norm (vsub w (iter (phi k)))) 0 ->
    stationary w.
  Proof.
    intros sub pw cont cv; apply stationary_iff.
    destruct (Req_dec (pg2 w) 0) as [z | nz]; auto; exfalso.
    assert (a : 0 < norm (P (gL w))).
    { destruct (norm_pos (P (gL w))) as [p | z]; auto.
      exfalso; apply nz; unfold pg2; rewrite <- norm_sqr, <- z; lra. }
    set (n := norm (P (gL w))) in *.
    destruct (gradient_vanishes (n * n / 4)) as [N hN]; [nra |].
    destruct (sub N) as [M hM].
    destruct (cont (n / 2) ltac:(lra)) as [delta [dp hd]].
    destruct (cv delta dp) as [M' hM'].
    set (k := Nat.max M M'); set (x := iter (phi k)).
    assert (h1 := hN (phi k) (hM k (PeanoNat.Nat.le_max_l _ _))).
    assert (h2 := hM' k (PeanoNat.Nat.le_max_r _ _)).
    unfold R_dist in h1, h2; fold x in h1, h2.
    rewrite Rminus_0_r, Rabs_pos_eq in h1 by apply pg2_pos.
    rewrite Rminus_0_r, Rabs_pos_eq in h2 by apply norm_pos.
    assert (g : norm (P (gL x)) < n / 2).
    { apply Rsqr_incrst_0; [unfold Rsqr; rewrite norm_sqr; fold (pg2 x); lra | apply norm_pos | lra]. }
    assert (pd : P (vsub w x) = vsub w x).
    { replace (vsub w x) with (vsub (vsub w w0) (vsub x w0))
        by (extensionality i; unfold vsub; lra).
      apply (P_fix_sub P P_self); [exact pw | apply P_range]. }
    assert (l := hd x pd h2).
    assert (t := norm_triangle (P (gL x)) (vsub (P (gL w)) (P (gL x)))).
    replace (along (P (gL x)) 1 (vsub (P (gL w)) (P (gL x)))) with (P (gL w)) in t
      by (extensionality i; unfold along, vsub; lra).
    fold n in t; lra.
  Qed.

  (** If moreover the loss lies above its tangents in the trained directions (convexity), such
      a point is a global minimum of the restricted problem. *)
  Theorem convex_stationary_is_minimum w : stationary w ->
    (forall d, P d = d -> L w + dot (gL w) d <= L (along w 1 d)) ->
    forall d, P d = d -> L w <= L (along w 1 d).
  Proof.
    intros st cvx d pd; assert (h := cvx d pd).
    assert (e := uniqueness_limite _ _ _ _ (gL_grad w d) (st d pd)); lra.
  Qed.

  (** Linear rate under the Polyak-Lojasiewicz inequality on the trained subspace. *)
  Theorem linear_rate mu Lstar :
    0 <= mu ->
    (forall t, 2 * mu * (L (iter t) - Lstar) <= pg2 (iter t)) ->
    (forall t, Lstar <= L (iter t)) ->
    forall t, L (iter t) - Lstar <= (1 - 2 * mu * c) ^ t * (L w0 - Lstar).
  Proof.
    intros m pl low.
    assert (s : forall t, L (iter (S t)) - Lstar <= (1 - 2 * mu * c) * (L (iter t) - Lstar)).
    { intros t; assert (h := masked_step_descent t); assert (g := c_gain t).
      assert (p := pl t); assert (q := pg2_pos (iter t)); assert (lo := low t).
      nra. }
    set (r := 1 - 2 * mu * c) in *.
    destruct (Rle_dec 0 r) as [rp | rn].
    - induction t as [| t IH]; [simpl; lra |].
      eapply Rle_trans; [apply s |]; simpl pow; rewrite Rmult_assoc.
      now apply Rmult_le_compat_l.
    - assert (z : forall t, L (iter t) - Lstar = 0).
      { intros t; assert (a := s t); assert (b := low t); assert (d := low (S t)); nra. }
      intros t; rewrite z; assert (z0 := z O); simpl in z0; rewrite z0; lra.
  Qed.
End Masked.

Lemma lipschitz_continuous {I} `{Finite I} (gL P : (I -> R) -> (I -> R)) beta w :
  0 <= beta -> lipschitz_within P gL beta -> continuous_within gL P w.
Proof.
  intros b l eps he; exists (eps / (beta + 1)); split; [apply Rdiv_lt_0_compat; lra |].
  intros x px hx; assert (h := l x (vsub w x) px).
  replace (along x 1 (vsub w x)) with w in h by (extensionality i; unfold along, vsub; lra).
  apply Rmult_lt_compat_l with (r := beta + 1) in hx; [| lra].
  replace ((beta + 1) * (eps / (beta + 1))) with eps in hx by (field; lra).
  assert (p := norm_pos (vsub w x)); nra.
Qed.
