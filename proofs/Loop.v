(** train/step.ts, train/loop.ts: the training loop that PaCA runs, end to end: forward keeping the gathered activations,
    backward from them, each micro-batch's gradient scaled and added in a declared order, the optimizer on the trained
    numbers alone.

    Intuition: gradient accumulation and shards only fix an order of addition. Since each trained column's gradient is
    computed as full fine-tuning computes it, adding up in the same order keeps the two runs equal to the bit, step after
    step. *)
From Coq Require Import List Reals Lra FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Gradient Frechet Maps Differential Backprop
  Descent Convergence.
Import ListNotations.

(** A batch: micro-batches, the order in which their gradients are added, their inputs, and the gradient of their share of
    the loss. *)
Record batch (A : Type) (C D : ftype) := {
  micro : ftype;
  added : order micro;
  input : micro -> act (A := A) C;
  dloss : micro -> act (A := A) D -> act (A := A) D }.
Arguments micro {A C D} _. Arguments added {A C D} _. Arguments input {A C D} _ _. Arguments dloss {A C D} _ _ _.

Section Loop.
  (** Any numbers, any network, any coordinate-wise optimizer; every step may have another batch. *)
  Context {A S : Type} (zero : A) (add mul : A -> A -> A).
  Context {C D : ftype} (n : net (A := A) C D).
  Hypothesis distinct : no_repeats n.
  Variables (put pull : widx n -> A -> A) (start w0 : widx n -> A).
  Hypothesis put_start : forall i, put i (start i) = w0 i.
  Variable init : S.
  Variable step : widx n -> nat -> A -> S -> A -> A * S.

  Section OneRun.
    Variable batch_at : nat -> batch A C D.
    Notation weights_on := (weights_of (trained n) put w0).

    Definition micro_gradient (b : batch A C D) w (m : micro b) : tidx n -> A :=
      snd (backward zero add mul n w (keep zero add mul n w (input b m))
             (dloss b m (run zero add mul n w (input b m)))).
    Definition paca_gradient_of (b : batch A C D) w : tidx n -> A :=
      fun j => red zero add (added b) (fun m => pull (trained n j) (micro_gradient b w m j)).

    Fixpoint train (T : nat) : (tidx n -> A) * (tidx n -> S) :=
      match T with
      | O => (gather (trained n) start, fun _ => init)
      | Datatypes.S t =>
          let (q, s) := train t in
          let g := paca_gradient_of (batch_at t) (weights_on q) in
          (fun j => fst (step (trained n j) t (q j) (s j) (g j)),
           fun j => snd (step (trained n j) t (q j) (s j) (g j)))
      end.

    (** The gradient of full fine-tuning (all activations kept, all weights), accumulated in the same order. *)
    Definition full_gradient_of (b : batch A C D) w : widx n -> A := fun i =>
      red zero add (added b) (fun m =>
        pull i (snd (full_back zero add mul n w (input b m) (dloss b m (run zero add mul n w (input b m)))) i)).
    Definition full_grad t := full_gradient_of (batch_at t).

    Lemma micro_gradient_full b w m j : micro_gradient b w m j
      = snd (full_back zero add mul n w (input b m) (dloss b m (run zero add mul n w (input b m)))) (trained n j).
    Proof. unfold micro_gradient; now rewrite paca_backprop_correct. Qed.

    Lemma train_paca T : train T = paca (trained n) put (fun _ g => g) start w0 init step full_grad T.
    Proof.
      induction T as [| t IH]; simpl; auto.
      rewrite IH; destruct (paca (trained n) put (fun _ g => g) start w0 init step full_grad t) as [q s].
      replace (paca_gradient_of (batch_at t) (weights_on q))
        with (gather (trained n) (full_grad t (weights_on q))); auto.
      extensionality j; unfold gather, full_grad, full_gradient_of, paca_gradient_of.
      apply red_ext; intros m; now rewrite micro_gradient_full.
    Qed.

    (** After every number of steps PaCA's trained numbers, optimizer state and weights are those of full fine-tuning with
        the other columns frozen; bit for bit, for floats. *)
    Theorem train_equals_masked_full T :
      let full := masked (trained n) put (fun _ g => g) start init step full_grad T in
      scatter (trained n) start (fst (train T)) = fst full /\
      scatter (trained n) (fun _ => init) (snd (train T)) = snd full /\
      weights_on (fst (train T)) = fun i => put i (fst full i).
    Proof.
      rewrite train_paca.
      exact (paca_equals_masked (trained n) (trained_inj n distinct) put (fun _ g => g) start w0 put_start
               init step full_grad T).
    Qed.
  End OneRun.

  (** A run depends on the batches it has seen, and no others. *)
  Lemma train_ext bs bs' T : (forall t, (t < T)%nat -> bs t = bs' t) -> train bs T = train bs' T.
  Proof.
    induction T as [| t IH]; intros e; simpl; auto.
    rewrite IH; [now rewrite (e t (le_n _)) | intros k hk; apply e; now apply le_S].
  Qed.

  (** k more steps, from what a checkpoint holds: the number of steps done, the trained numbers and the optimizer's state. *)
  Fixpoint resume (bs : nat -> batch A C D) (done : nat) (from : (tidx n -> A) * (tidx n -> S)) (k : nat) :=
    match k with
    | O => from
    | Datatypes.S k =>
        let (q, s) := resume bs done from k in
        let g := paca_gradient_of (bs (done + k)%nat) (weights_of (trained n) put w0 q) in
        (fun j => fst (step (trained n j) (done + k) (q j) (s j) (g j)),
         fun j => snd (step (trained n j) (done + k) (q j) (s j) (g j)))
    end.
  (** Going on from a checkpoint is going on, with whatever batches come then. *)
  Theorem resumed_is_uninterrupted bs bs' done k : (forall t, (t < done)%nat -> bs t = bs' t) ->
    resume bs' done (train bs done) k = train bs' (done + k).
  Proof.
    intros e; induction k as [| k IH]; simpl; [rewrite PeanoNat.Nat.add_0_r; now apply train_ext |].
    rewrite PeanoNat.Nat.add_succ_r; simpl; now rewrite IH.
  Qed.
End Loop.

Open Scope R_scope.

(** The scale may be applied to each micro-batch's gradient or to the sum: over the reals that is one. *)
Lemma paca_pull {I J} `{Finite I} `{Finite J} (idx : J -> I) put pull start w0
    (step : I -> nat -> R -> unit -> R -> R * unit) grad T :
  paca idx put (fun _ g => g) start w0 tt step (fun t w i => pull i (grad t w i)) T
  = paca idx put pull start w0 tt step grad T.
Proof. induction T as [| t IH]; simpl; auto; now rewrite IH. Qed.

(** ** Real numbers: the accumulated gradient is the gradient of the batch's loss. *)
Section Objective.
  Context {C D : ftype} (n : net (A := R) C D) (b : batch R C D) (loss : micro b -> act (A := R) D -> R).
  Hypothesis loss_ok : forall m Y, is_fgrad (loss m) Y (dloss b m Y).

  Definition objective w := sum (fun m => loss m (rrun n w (input b m))).
  Definition gradient := full_gradient_of 0 Rplus Rmult n (fun _ g => g) b.

  Lemma accumulated_differential w : (forall m, maps_ok n w (input b m)) -> is_diff objective w (dot (gradient w)).
  Proof.
    intros maps.
    set (g := fun m => snd (rfull_back n w (input b m) (dloss b m (rrun n w (input b m))))).
    assert (h : forall m, is_diff (fun w => loss m (rrun n w (input b m))) w (dot (g m))).
    { intros m; apply diff_grad.
      exact (proj1 (loss_gradients _ w (input b m) _ _ (loss m) _ (backprop_vjp n w (input b m) (maps m))
                      (loss_ok m _))). }
    refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _ (diff_sum _ _ _ h)).
    intros d; unfold gradient, full_gradient_of, dot; rewrite sum_swap; apply sum_ext; intros i.
    now rewrite red_sum, <- sum_scal_r.
  Qed.

  (** At any weights at which the network is differentiable. *)
  Theorem accumulated_gradient w : (forall m, maps_ok n w (input b m)) -> is_grad objective w (gradient w).
  Proof. intros maps; now apply fgrad_grad, diff_grad, accumulated_differential. Qed.
End Objective.

(** Full-batch PaCA training of a network (the same micro-batches at every step) converges. *)
Section Converges.
  Context {C D : ftype} (n : net (A := R) C D) (b : batch R C D) (loss : micro b -> act (A := R) D -> R).
  Hypothesis distinct : no_repeats n.
  Hypothesis loss_ok : forall m Y, is_fgrad (loss m) Y (dloss b m Y).
  Notation L := (objective n b loss).
  Notation gL := (gradient n b).

  (** The scale alpha/r, the schedule of the learning rate, the pretrained weights. *)
  Variables (s : R) (lr : nat -> R) (w0 : widx n -> R).
  Definition trained_weights t := weights_of (trained n) (put_delta w0 s) w0
    (fst (train 0 Rplus Rmult n (put_delta w0 s) (pull_delta s) (fun _ => 0) w0 tt (sgd lr) (fun _ => b) t)).
  (** The gradient in the selected columns, as the backward pass returns it, accumulated. *)
  Definition computed_gradient t := paca_gradient_of 0 Rplus Rmult n (fun _ g => g) b (trained_weights t).

  Lemma trained_weights_merged : trained_weights = merged (trained n) gL w0 s lr.
  Proof.
    extensionality t; unfold trained_weights, merged, delta, weights_at; rewrite train_paca.
    rewrite <- paca_pull.
    replace (full_grad 0 Rplus Rmult n (pull_delta s) (fun _ => b))
      with (fun (_ : nat) w i => pull_delta s i (gL w i)); auto.
    extensionality k; extensionality w; extensionality i; unfold full_grad, gradient, full_gradient_of, pull_delta.
    now rewrite !red_sum, sum_scal.
  Qed.

  Lemma computed_gradient_paca : computed_gradient = paca_grad (trained n) gL w0 s lr.
  Proof.
    extensionality t; unfold computed_gradient, paca_grad; rewrite <- trained_weights_merged.
    extensionality j; unfold paca_gradient_of, gather, gradient, full_gradient_of.
    apply red_ext; intros m; apply micro_gradient_full.
  Qed.

  (** For any network, deep ones too: the descent of each step, from the smoothness along that step alone. The network must
      be differentiable on the segments that the run walks, and nowhere else. *)
  Theorem training_descends_along_path (beta : nat -> R) :
    (forall t r m, 0 <= r <= 1 ->
       maps_ok n (along (trained_weights t) r (vsub (trained_weights (S t)) (trained_weights t))) (input b m)) ->
    smooth_along_run gL (proj (trained n)) (eta s lr) w0 beta ->
    (forall t, L (trained_weights (S t)) <= L (trained_weights t)
       - eta s lr t * (1 - beta t * eta s lr t / 2) * dot (computed_gradient t) (computed_gradient t)) /\
    (forall T, lsum (seq 0 T) (fun t => eta s lr t * (1 - beta t * eta s lr t / 2)
       * dot (computed_gradient t) (computed_gradient t)) <= L w0 - L (trained_weights T)).
  Proof.
    intros maps sm; rewrite computed_gradient_paca; rewrite trained_weights_merged in *.
    assert (inj := trained_inj n distinct).
    assert (ok : differentiable_along_run L gL (proj (trained n)) (eta s lr) w0).
    { intros t r hr; apply (accumulated_gradient n b loss loss_ok); intros m.
      assert (h := maps t r m hr); rewrite !merged_iter in h by exact inj; simpl in h.
      replace (move gL (proj (trained n)) (eta s lr) w0 t)
        with (vsub (gd_step gL (proj (trained n)) (eta s lr t) (iter gL (proj (trained n)) (eta s lr) w0 t))
                (iter gL (proj (trained n)) (eta s lr) w0 t))
        by (extensionality i; unfold gd_step, move, vsub, along; lra).
      exact h. }
    split; [intros t | intros T].
    - exact (paca_descent_along_path (trained n) inj L gL w0 s lr beta ok sm t).
    - exact (paca_sum_along_path (trained n) inj L gL w0 s lr beta ok sm T).
  Qed.

  (** Where the gradient is globally Lipschitz and the loss is bounded below, with a constant rate below 2/(beta s^2). *)
  Variables (Lmin beta rate : R).
  Hypothesis constant : forall t, lr t = rate.
  Hypothesis bounded : forall w, Lmin <= L w.
  Hypothesis lipschitz : forall u v, norm (vsub (gL u) (gL v)) <= beta * norm (vsub u v).
  Hypothesis maps : forall m w, maps_ok n w (input b m).
  Hypothesis rate_pos : 0 < rate * (s * s).
  Hypothesis rate_small : beta * (rate * (s * s)) < 2.

  Theorem training_converges :
    let c := rate * (s * s) * (1 - beta * (rate * (s * s)) / 2) in
    (forall t, L (trained_weights (S t)) <= L (trained_weights t) - c * dot (computed_gradient t) (computed_gradient t)) /\
    (forall T, lsum (seq 0 T) (fun t => dot (computed_gradient t) (computed_gradient t)) <= (L w0 - Lmin) / c) /\
    Un_cv (fun t => dot (computed_gradient t) (computed_gradient t)) 0.
  Proof.
    intros c; rewrite computed_gradient_paca, trained_weights_merged.
    assert (inj := trained_inj n distinct).
    assert (ok : forall w, is_grad L w (gL w)) by (intros w; apply accumulated_gradient; auto).
    assert (cp : 0 < c) by (apply constant_step_gain; auto).
    assert (gain : forall t, c <= eta s lr t * (1 - beta * eta s lr t / 2))
      by (intros t; unfold eta; rewrite constant; unfold c; lra).
    split; [| split].
    - intros t; assert (h := paca_descent (trained n) inj L gL beta ok lipschitz w0 s lr t).
      assert (e : eta s lr t = rate * (s * s)) by (unfold eta; now rewrite constant).
      rewrite e in h; exact h.
    - intros T; exact (paca_sum_bounded (trained n) inj L gL Lmin beta ok bounded lipschitz w0 s lr c cp gain T).
    - exact (paca_gradient_vanishes (trained n) inj L gL Lmin beta ok bounded lipschitz w0 s lr c cp gain).
  Qed.
End Converges.
