(** optim/transform.ts, methods/paca.ts: N steps of PaCA are N steps of full fine-tuning masked to the selected columns, for
    every coordinate-wise optimizer (SGD, momentum, Adam, AdamW, any decay target), any gradient oracle (mini-batches,
    schedules and dropout masks may depend on the step) and ANY type of numbers: bit for bit for floats.

    Intuition: a frozen number never moves, so remembering that it does not move is all that full fine-tuning adds.  PaCA
    walks the same path, inside the small subspace that the chosen columns span.

    What trains is a number for each selected weight: [put] gives the weight that the network runs on, [pull] the gradient
    of the trained number from that of the weight, [start] where it begins. delta form (ours):       put i d = w0 i + s *
    d,  pull i g = s * g,  start i = 0; value form (the paper):  put i q = q,             pull i g = g,      start i = w0
    i. *)
From Coq Require Import List FunctionalExtensionality Reals Lra.
From PaCA Require Import Finite GatherScatter.

Section Optimizer.
  Context {A S I J : Type} `{Finite I} `{Finite J}.
  Variable idx : J -> I.
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.

  Variables (put pull : I -> A -> A) (start w0 : I -> A).
  (** A number that has not moved stands for the pretrained weight (for floats: unless that is -0). *)
  Hypothesis put_start : forall i, put i (start i) = w0 i.

  (** One coordinate of the optimizer: coordinate, step number, parameter, state, gradient. *)
  Variable init : S.
  Variable step : I -> nat -> A -> S -> A -> A * S.
  (** Gradient oracle of the whole network at step t. *)
  Variable grad : nat -> (I -> A) -> (I -> A).

  (** The weights that PaCA's network runs on. *)
  Definition weights_of (q : J -> A) : I -> A := scatter idx w0 (fun j => put (idx j) (q j)).

  (** PaCA holds the trained numbers and their state; only the selected part of the gradient is formed. *)
  Fixpoint paca (T : nat) : (J -> A) * (J -> S) :=
    match T with
    | O => (gather idx start, fun _ => init)
    | Datatypes.S t =>
        let (q, s) := paca t in
        let g := gather idx (grad t (weights_of q)) in
        (fun j => fst (step (idx j) t (q j) (s j) (pull (idx j) (g j))),
         fun j => snd (step (idx j) t (q j) (s j) (pull (idx j) (g j))))
    end.

  (** Full fine-tuning holds a number for every weight; its optimizer moves the selected ones only. *)
  Fixpoint masked (T : nat) : (I -> A) * (I -> S) :=
    match T with
    | O => (start, fun _ => init)
    | Datatypes.S t =>
        let (d, s) := masked t in
        let g := grad t (fun i => put i (d i)) in
        (fun i => if selected idx i then fst (step i t (d i) (s i) (pull i (g i))) else d i,
         fun i => if selected idx i then snd (step i t (d i) (s i) (pull i (g i))) else s i)
    end.

  (** Full fine-tuning of everything, on the gradient with the other coordinates zeroed. *)
  Variable zero : A.
  Fixpoint full_on_masked_gradient (T : nat) : (I -> A) * (I -> S) :=
    match T with
    | O => (start, fun _ => init)
    | Datatypes.S t =>
        let (d, s) := full_on_masked_gradient t in
        let g := grad t (fun i => put i (d i)) in
        let m i := if selected idx i then pull i (g i) else zero in
        (fun i => fst (step i t (d i) (s i) (m i)), fun i => snd (step i t (d i) (s i) (m i)))
    end.

  Theorem masked_frozen T i : selected idx i = false ->
    fst (masked T) i = start i /\ snd (masked T) i = init.
  Proof.
    intros f; induction T as [| t IH]; simpl; auto.
    destruct (masked t) as [d s]; simpl in *; now rewrite f.
  Qed.

  Lemma weights_put q : weights_of q = fun i => put i (scatter idx start q i).
  Proof.
    extensionality i; unfold weights_of, scatter; destruct (preimage idx i) as [j |] eqn:e.
    - now rewrite (preimage_some _ _ _ e).
    - now rewrite put_start.
  Qed.

  (** After any number of steps the trained numbers, the state and the weights of PaCA are those of masked full
      fine-tuning. *)
  Theorem paca_equals_masked T :
    scatter idx start (fst (paca T)) = fst (masked T) /\
    scatter idx (fun _ => init) (snd (paca T)) = snd (masked T) /\
    weights_of (fst (paca T)) = fun i => put i (fst (masked T) i).
  Proof.
    assert (h : scatter idx start (fst (paca T)) = fst (masked T) /\
                scatter idx (fun _ => init) (snd (paca T)) = snd (masked T)).
    { induction T as [| t [IHw IHs]]; simpl.
      - split; [apply scatter_gather | extensionality i].
        unfold scatter; now destruct (preimage idx i).
      - destruct (paca t) as [q s], (masked t) as [d s'] eqn:em; simpl in *; subst d s'.
        rewrite weights_put.
        split; extensionality i; unfold scatter at 1, selected;
          destruct (preimage idx i) as [j |] eqn:e; simpl;
          try (unfold scatter at 1; now rewrite e);
          apply preimage_some in e; subst i; unfold gather;
          now rewrite ?(scatter_selected idx idx_inj). }
    destruct h as [h hs]; split; auto; split; auto; rewrite weights_put; now rewrite h.
  Qed.

  (** The pretrained weight outside the selected columns is as it was. *)
  Theorem paca_frozen T i : selected idx i = false -> weights_of (fst (paca T)) i = w0 i.
  Proof. intros f; unfold weights_of; now rewrite scatter_frozen. Qed.

  (** If the optimizer leaves a number alone while its gradient has always been zero, masking the gradient is enough. *)
  Hypothesis inert : forall i t, step i t (start i) init zero = (start i, init).

  Theorem paca_equals_full_on_masked_gradient T : full_on_masked_gradient T = masked T.
  Proof.
    induction T as [| t IH]; auto.
    assert (fr := masked_frozen t).
    simpl; rewrite IH; destruct (masked t) as [d s]; simpl in *.
    f_equal; extensionality i; destruct (selected idx i) eqn:e; auto;
      destruct (fr i e) as [hd hs]; rewrite hd, hs, inert; auto.
  Qed.
End Optimizer.

Open Scope R_scope.

(** optim/sgd.ts: p + g * -lr. *)
Definition sgd {I} (lr : nat -> R) (_ : I) t (p : R) (s : unit) g : R * unit := (p + g * - lr t, s).

Lemma sgd_inert {I} lr (i : I) t p : sgd lr i t p tt 0 = (p, tt).
Proof. unfold sgd; f_equal; lra. Qed.

(** ** The delta form over the reals *)
Section Delta.
  Context {I J : Type} `{Finite I} `{Finite J}.
  Variable idx : J -> I.
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.
  Variables (w0 : I -> R) (s : R).
  Definition put_delta i d : R := w0 i + s * d.
  Definition pull_delta (_ : I) g : R := s * g.

  Lemma put_delta_start i : put_delta i 0 = w0 i.
  Proof. unfold put_delta; lra. Qed.

  (** Under SGD the scale s of the delta form multiplies the step by s^2: on the weights, it is the value form with the
      learning rate lr * s^2. *)
  Theorem sgd_scale_squared grad lr T :
    weights_of idx put_delta w0 (fst (paca idx put_delta pull_delta (fun _ => 0) w0 tt (sgd lr) grad T))
    = weights_of idx (fun _ q => q) w0
        (fst (paca idx (fun _ q => q) (fun _ g => g) w0 w0 tt (sgd (fun t => lr t * (s * s))) grad T)).
  Proof.
    induction T as [| t IH]; simpl.
    - extensionality i; unfold weights_of, gather, scatter; destruct (preimage idx i) as [j |]; auto.
      apply put_delta_start.
    - destruct (paca idx put_delta _ _ _ _ _ _ t) as [d u], (paca idx (fun _ q => q) _ _ _ _ _ _ t) as [q u'].
      simpl in *; rewrite <- IH.
      set (w := weights_of idx put_delta w0 d) in *.
      extensionality i; assert (e := f_equal (fun f => f i) IH); unfold w in e; cbv beta in e.
      unfold weights_of, scatter in *; destruct (preimage idx i) as [j |]; auto.
      unfold put_delta in *; unfold pull_delta; simpl in *; rewrite <- e; lra.
  Qed.
End Delta.
