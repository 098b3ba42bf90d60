(** The whole network end to end: for any feed-forward graph whose maps are differentiable with the vector-Jacobian products
    the program uses, PaCA's backward pass (gathered activations only) computes the true gradient of the loss in the trained
    columns, and the true input gradient. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Gradient Frechet Maps.
Open Scope R_scope.

(** ** The whole network *)
Notation rfull_back := (full_back 0 Rplus Rmult).
Notation rbackward := (backward 0 Rplus Rmult).
Notation rrun := (run 0 Rplus Rmult).
Notation rkeep := (keep 0 Rplus Rmult).

(** Each non-linear map has the VJP the program uses, at the activations it meets. *)
Fixpoint maps_ok {C D} (n : net (A := R) C D) : (widx n -> R) -> act C -> Prop :=
  match n with
  | Linear _ _ _ _ => fun _ _ => True
  | Map f vjp => fun _ X => is_vjp f X (vjp X)
  | Seq f g => fun w X => maps_ok f (fst' w) X /\ maps_ok g (snd' w) (rrun f (fst' w) X)
  | Fork f g => fun w X => maps_ok f (fst' w) X /\ maps_ok g (snd' w) X
  end.

Theorem backprop_vjp {C D} (n : net (A := R) C D) w X : maps_ok n w X ->
  is_vjp2 (rrun n) w X (fun G => snd (rfull_back n w X G)) (fun G => fst (rfull_back n w X G)).
Proof.
  induction n as [B O C K oc oo ob idx | C D f vjp | C D E f IHf g IHg | C D E f IHf g IHg]; simpl.
  - intros _; apply (vjp_linear oc oo ob w X).
  - intros [l [c [p [b [a h]]]]].
    assert (z : forall e : Empty_set -> R, norm e = 0) by (intros e; unfold norm; apply sqrt_0).
    exists (fun _ d => l d), c; split; auto; split; [| split].
    + intros e d; rewrite z, Rplus_0_l; auto.
    + intros G e d; rewrite a; unfold dot at 2; simpl; unfold sum; simpl; lra.
    + intros eps he; destruct (h eps he) as [delta [dp hd]]; exists delta; split; auto.
      intros e d; rewrite z, Rplus_0_l; auto.
  - intros [hf hg].
    assert (s := vjp_seq _ _ w X _ _ _ _ (IHf (fst' w) X hf) (IHg (snd' w) _ hg)).
    match goal with |- is_vjp2 _ _ _ ?a ?b => match type of s with is_vjp2 _ _ _ ?a' ?b' =>
      replace a with a'; [replace b with b'; [exact s |] |] end end;
      extensionality G; destruct (rfull_back g (snd' w) (rrun f (fst' w) X) G) as [GY dg]; simpl;
      now destruct (rfull_back f (fst' w) X GY).
  - intros [hf hg].
    assert (s := vjp_fork _ _ w X _ _ _ _ (IHf (fst' w) X hf) (IHg (snd' w) X hg)).
    match goal with |- is_vjp2 _ _ _ ?a ?b => match type of s with is_vjp2 _ _ _ ?a' ?b' =>
      replace a with a'; [replace b with b'; [exact s |] |] end end;
      extensionality G; destruct (rfull_back f (fst' w) X (fst' G)),
        (rfull_back g (snd' w) X (snd' G)); auto.
Qed.

(** PaCA on a whole network.  w = scatter ... q are the weights it runs on; G is the gradient
    of the loss at the network's output; [backward] is given the gathered activations only.
    Its result is the gradient of the loss in the compact trainable tensor, and the input
    gradient is the true one. *)
Theorem paca_network_gradient {C D} (n : net (A := R) C D) (w0 : widx n -> R)
    (q : tidx n -> R) X (loss : act D -> R) G :
  no_repeats n ->
  let w := scatter (trained n) w0 q in
  maps_ok n w X ->
  is_fgrad loss (rrun n w X) G ->
  is_grad (fun q => loss (rrun n (scatter (trained n) w0 q) X)) q
          (snd (rbackward n w (rkeep n w X) G)) /\
  is_grad (fun X => loss (rrun n w X)) X
          (fst (rbackward n w (rkeep n w X) G)).
Proof.
  intros nr w ok hl; rewrite paca_backprop_correct; simpl.
  destruct (loss_gradients _ w X _ _ loss G (backprop_vjp n w X ok) hl) as [gw gx].
  split; [| now apply fgrad_grad].
  apply (paca_gradient (trained n) (trained_inj n nr) (fun w => loss (rrun n w X))).
  now apply fgrad_grad.
Qed.

(** The same for what trains here, the delta form W + s * delta: its gradient is s times what the backward pass returns. Each
    adapter has a scale of its own: s is a number for each weight. *)
Theorem paca_delta_gradient {C D} (n : net (A := R) C D) (w0 s : widx n -> R)
    (d : tidx n -> R) X (loss : act D -> R) G :
  no_repeats n ->
  let w := weights_of (trained n) (fun i => put_delta w0 (s i) i) w0 d in
  maps_ok n w X ->
  is_fgrad loss (rrun n w X) G ->
  is_grad (fun d => loss (rrun n (weights_of (trained n) (fun i => put_delta w0 (s i) i) w0 d) X)) d
          (fun j => s (trained n j) * snd (rbackward n w (rkeep n w X) G) j).
Proof.
  intros nr w ok hl; rewrite paca_backprop_correct; simpl.
  destruct (loss_gradients _ w X _ _ loss G (backprop_vjp n w X ok) hl) as [gw _].
  apply (grad_affine (fun w => loss (rrun n w X)) (weights_of (trained n) (fun i => put_delta w0 (s i) i) w0)
           (fun d i => s i * scatter (trained n) (fun _ => 0) d i) (fun g j => s (trained n j) * gather (trained n) g j)).
  - intros t e; extensionality i; unfold weights_of, scatter, along.
    destruct (preimage (trained n) i) as [j |] eqn:p; unfold put_delta; [rewrite <- (preimage_some _ _ _ p) |]; ring.
  - intros u e; transitivity (dot (fun i => s i * u i) (scatter (trained n) (fun _ => 0) e)).
    + apply sum_ext; intros i; ring.
    + exact (dot_gather _ (trained_inj n nr) (fun i => s i * u i) e).
  - now apply fgrad_grad.
Qed.

(** The hypotheses can be met: a two-layer network with a smooth activation. *)
Definition mlp {B C H O K K' : ftype} (oc : order C) (oh : order H) (oo : order O) (ob : order B)
    (idx1 : K -> C) (idx2 : K' -> H) : net (A := R) (fprod B C) (fprod B O) :=
  Seq (Linear oc oh ob idx1) (Seq (Map (fun x i => sin (x i)) (fun x G i => cos (x i) * G i)) (Linear oh oo ob idx2)).
Lemma mlp_maps_ok {B C H O K K' : ftype} oc oh oo ob (idx1 : K -> C) (idx2 : K' -> H) w X :
  maps_ok (mlp (B := B) (O := O) oc oh oo ob idx1 idx2) w X.
Proof.
  simpl; repeat split; apply (vjp_elementwise sin cos); intros; apply derivable_pt_lim_sin.
Qed.
