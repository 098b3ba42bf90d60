(** core/derived/adamw.ts, optim/adamw.ts, methods/decay.ts: one step of AdamW in the order of the code, over any numbers;
    and what weight decay pulls towards.

    Intuition: decay pulls the trained number towards its target.  The delta form's own 0 is the pretrained weight; the
    paper's first code held the weight itself, whose 0 is no weight at all.  Moving the target to -W makes the one the
    other. *)
From Coq Require Import List FunctionalExtensionality Reals Lra.
From PaCA Require Import Finite GatherScatter Optimizer.

Record coefficients (A : Type) := {
  learning_rate : A; beta1 : A; beta2 : A; epsilon : A; decay : A; correction1 : A; correction2 : A }.
Arguments learning_rate {A} _. Arguments beta1 {A} _. Arguments beta2 {A} _. Arguments epsilon {A} _.
Arguments decay {A} _. Arguments correction1 {A} _. Arguments correction2 {A} _.

Section Kernel.
  Context {A : Type}.
  Variables (one : A) (add sub mul div : A -> A -> A) (root neg : A -> A).
  (** The change of one number, and its new moments. *)
  Definition adamw_update (g : A) (s : A * A) (p target : A) (c : coefficients A) : A * (A * A) :=
    let m := add (mul (fst s) (beta1 c)) (mul g (sub one (beta1 c))) in
    let v := add (mul (snd s) (beta2 c)) (mul (mul g g) (sub one (beta2 c))) in
    let direction := div (div m (correction1 c)) (add (root (div v (correction2 c))) (epsilon c)) in
    let total := add direction (mul (sub p target) (decay c)) in
    (mul total (neg (learning_rate c)), (m, v)).

  Definition adamw_step {I} (target : I -> A) (c : nat -> coefficients A) (i : I) t p s g : A * (A * A) :=
    let (d, s') := adamw_update g s p (target i) (c t) in (add p d, s').
End Kernel.

Open Scope R_scope.
Notation radamw := (adamw_step 1 Rplus Rminus Rmult Rdiv sqrt Ropp).

(** Adam, and AdamW at its target, leave a number alone whose gradient has always been 0. *)
Theorem adam_inert {I} (target : I -> R) c i t p :
  decay (c t) = 0 \/ p = target i -> radamw target c i t p (0, 0) 0 = (p, (0, 0)).
Proof.
  intros h; unfold adamw_step, adamw_update; simpl fst; simpl snd; unfold Rminus.
  assert (m : 0 * beta1 (c t) + 0 * (1 + - beta1 (c t)) = 0) by lra.
  assert (v : 0 * beta2 (c t) + 0 * 0 * (1 + - beta2 (c t)) = 0) by lra.
  rewrite m, v; unfold Rdiv; rewrite !Rmult_0_l.
  f_equal; destruct h as [h | h]; rewrite h; ring.
Qed.

(** Otherwise it does not: masking the gradient of full fine-tuning would let the frozen weights decay; the optimizer must be
    given the selected columns only, as [paca_equals_masked] has it. *)
Theorem adamw_not_inert {I} (target : I -> R) c i t p :
  learning_rate (c t) * decay (c t) * (p - target i) <> 0 -> fst (radamw target c i t p (0, 0) 0) <> p.
Proof.
  intros h; unfold adamw_step, adamw_update; simpl fst; simpl snd; unfold Rminus in *.
  assert (m : 0 * beta1 (c t) + 0 * (1 + - beta1 (c t)) = 0) by lra.
  assert (v : 0 * beta2 (c t) + 0 * 0 * (1 + - beta2 (c t)) = 0) by lra.
  rewrite m, v; unfold Rdiv; rewrite !Rmult_0_l; lra.
Qed.

Section DecayTowards.
  Context {I J : Type} `{Finite I} `{Finite J}.
  Variable idx : J -> I.
  Variables (w0 : I -> R) (c : nat -> coefficients R) (grad : nat -> (I -> R) -> (I -> R)).

  (** The value form: the columns themselves train, and decay towards 0. *)
  Definition value_form := paca idx (fun _ q => q) (fun _ g => g) w0 w0 (0, 0) (radamw (fun _ => 0) c) grad.
  (** The delta form with s = 1, decaying towards the target. *)
  Definition delta_form (target : I -> R) :=
    paca idx (put_delta w0 1) (pull_delta 1) (fun _ => 0) w0 (0, 0) (radamw target c) grad.

  (** decayTowards: 'zero' is the value form: the same weights and the same moments after any number of steps. *)
  Theorem value_form_is_delta_towards_zero T :
    (forall j, fst (value_form T) j = w0 (idx j) + fst (delta_form (fun i => - w0 i) T) j) /\
    snd (value_form T) = snd (delta_form (fun i => - w0 i) T) /\
    weights_of idx (fun _ q => q) w0 (fst (value_form T))
      = weights_of idx (put_delta w0 1) w0 (fst (delta_form (fun i => - w0 i) T)).
  Proof.
    assert (w : forall q d, (forall j : J, q j = w0 (idx j) + d j) ->
      weights_of idx (fun _ q => q) w0 q = weights_of idx (put_delta w0 1) w0 d).
    { intros q d e; unfold weights_of; f_equal; extensionality j; rewrite e; unfold put_delta; lra. }
    enough (h : (forall j, fst (value_form T) j = w0 (idx j) + fst (delta_form (fun i => - w0 i) T) j) /\
                snd (value_form T) = snd (delta_form (fun i => - w0 i) T)).
    { destruct h as [h hs]; split; [| split]; auto. }
    induction T as [| t [IH IHs]]; simpl.
    - split; auto; intros j; unfold gather; lra.
    - unfold value_form, delta_form in *.
      destruct (paca idx (fun _ q => q) _ _ _ _ _ _ t) as [q s], (paca idx (put_delta w0 1) _ _ _ _ _ _ t) as [d s'].
      simpl in IH, IHs; subst s'; rewrite <- (w q d IH).
      unfold pull_delta, gather.
      split; [intros j | extensionality j]; simpl; rewrite ?Rmult_1_l; auto.
      rewrite IH; unfold Rminus.
      replace (w0 (idx j) + d j + - 0) with (d j + - - w0 (idx j)) by lra.
      match goal with |- _ + ?a = _ + (_ + ?b) => change b with a end; lra.
  Qed.

  (** decayTowards: 'pretrained' (the default) is not: after the first step the weights differ by lr * decay * w0. *)
  Theorem decay_target_matters j :
    fst (value_form 1) j - (w0 (idx j) + fst (delta_form (fun _ => 0) 1) j)
    = - (learning_rate (c O) * decay (c O) * w0 (idx j)).
  Proof.
    simpl.
    replace (weights_of idx (put_delta w0 1) w0 (gather idx (fun _ => 0)))
      with (weights_of idx (fun _ q => q) w0 (gather idx w0)).
    - unfold gather, pull_delta, adamw_step, adamw_update; simpl; rewrite !Rmult_1_l; ring.
    - unfold weights_of; f_equal; extensionality k; unfold gather, put_delta; lra.
  Qed.
End DecayTowards.
