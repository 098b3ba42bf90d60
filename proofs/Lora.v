(** methods/lora.ts, methods/paca-to-lora.ts: LoRA as the general case.  y = x W^T + s (x A^T) B^T; PaCA is LoRA with A
    the 0/1 selector of the columns, which does not train, and B = delta.

    Intuition: LoRA looks at the input through r mixtures and learns both the mixtures and what to do with them; PaCA
    looks at r of the inputs themselves and learns only what to do with them.  The subspace is fixed, and nothing has to
    be stored or multiplied to reach it. *)
From Coq Require Import List Reals Lra FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Gradient Frechet.
Open Scope R_scope.

(** The selector: row k has a 1 in column idx k. *)
Definition selector {A K C} `{Finite C} (zero one : A) (idx : K -> C) : K * C -> A :=
  fun p => if fin_dec (idx (fst p)) (snd p) then one else zero.

(** x A^T is the gathered input, for any numbers on which 0 and 1 behave, in any order of summation.  (For floats they do,
    but for -0, infinities and NaN.) *)
Theorem selector_gathers {A B C K} `{Finite C} (zero one : A) (add mul : A -> A -> A) (oc : order C) (idx : K -> C)
    (X : B * C -> A) :
  (forall a, mul a one = a) -> (forall a, mul a zero = zero) ->
  (forall a, add zero a = a) -> (forall a, add a zero = a) ->
  forward zero add mul oc (selector zero one idx) X = gather (colmap idx) X.
Proof.
  intros m1 m0 zl zr; extensionality p; destruct p as [b k]; unfold forward, gather, colmap, selector; cbn [fst snd].
  assert (h : forall t : rtree C,
    red zero add t (fun c => mul (X (b, c)) (if fin_dec (idx k) c then one else zero))
    = red zero add t (fun c => if fin_dec (idx k) c then X (b, c) else zero)).
  { intros t; apply red_ext; intros c; destruct (fin_dec (idx k) c); auto. }
  rewrite h; clear h.
  assert (off : forall t : rtree C, ~ In (idx k) (leaves t) ->
    red zero add t (fun c => if fin_dec (idx k) c then X (b, c) else zero) = zero).
  { induction t as [| c | l IHl r IHr]; simpl; intros no; auto.
    - destruct (fin_dec (idx k) c) as [e | e]; auto; exfalso; apply no; auto.
    - rewrite in_app_iff in no; rewrite IHl, IHr; auto. }
  assert (on : forall t : rtree C, NoDup (leaves t) -> In (idx k) (leaves t) ->
    red zero add t (fun c => if fin_dec (idx k) c then X (b, c) else zero) = X (b, idx k)).
  { induction t as [| c | l IHl r IHr]; simpl; intros nd i.
    - destruct i.
    - destruct i as [<- | []]; destruct (fin_dec c c); congruence.
    - destruct (nodup_app_inv _ _ nd) as [nl [nr dis]].
      apply in_app_iff in i; destruct i as [i | i]; [rewrite IHl, off | rewrite IHr, off]; auto;
        intros j; now apply (dis (idx k)). }
  apply on.
  - apply (Permutation.Permutation_NoDup (Permutation.Permutation_sym (each_once _ oc))), enum_nodup.
  - apply (Permutation.Permutation_in _ (Permutation.Permutation_sym (each_once _ oc))), enum_all.
Qed.

Section Reals.
  Context {B O C K : Type} `{Finite B} `{Finite O} `{Finite C} `{Finite K}.
  Variables (oc : order C) (oo : order O) (ob : order B) (ok : order K) (s : R) (W : O * C -> R).

  Definition lora_forward (a : K * C -> R) (b : O * K -> R) (X : B * C -> R) : B * O -> R :=
    fun p => rforward oc W X p + s * rforward ok b (rforward oc a X) p.

  (** dB = s G^T (X A^T),  dA = s (G B)^T X: the gradients of the code. *)
  Theorem lora_gradient_b loss a b X G :
    is_grad loss (lora_forward a b X) G ->
    is_grad (fun b => loss (lora_forward a b X)) b (fun p => s * rgrad_W ob G (rforward oc a X) p).
  Proof.
    apply (grad_affine loss (fun b => lora_forward a b X) (fun d p => s * rforward ok d (rforward oc a X) p)
      (fun G p => s * rgrad_W ob G (rforward oc a X) p)).
    - intros t d; extensionality p; unfold lora_forward; rewrite forward_along_W; unfold along; lra.
    - intros u d; rewrite dot_scal_r, (forward_adjoint_W ok ob).
      rewrite (dot_comm (fun p => s * _)), dot_scal_r, dot_comm; auto.
  Qed.

  Theorem lora_gradient_a loss a b X G :
    is_grad loss (lora_forward a b X) G ->
    is_grad (fun a => loss (lora_forward a b X)) a (fun p => s * rgrad_W ob (rgrad_X oo G b) X p).
  Proof.
    apply (grad_affine loss (fun a => lora_forward a b X) (fun d p => s * rforward ok b (rforward oc d X) p)
      (fun G p => s * rgrad_W ob (rgrad_X oo G b) X p)).
    - intros t d; extensionality p; unfold lora_forward.
      rewrite forward_along_W, forward_along_X; unfold along; lra.
    - intros u d; rewrite dot_scal_r, (forward_adjoint_X ok oo), (forward_adjoint_W oc ob).
      rewrite (dot_comm (fun p => s * _)), dot_scal_r, dot_comm; auto.
  Qed.

  (** dX = G W + s (G B) A. *)
  Theorem lora_gradient_x loss a b X G :
    is_grad loss (lora_forward a b X) G ->
    is_grad (fun X => loss (lora_forward a b X)) X (fun p => rgrad_X oo G W p + s * rgrad_X ok (rgrad_X oo G b) a p).
  Proof.
    apply (grad_affine loss (lora_forward a b) (fun d p => rforward oc W d p + s * rforward ok b (rforward oc a d) p)
      (fun G p => rgrad_X oo G W p + s * rgrad_X ok (rgrad_X oo G b) a p)).
    - intros t d; extensionality p; unfold lora_forward; rewrite !forward_along_X; unfold along; lra.
    - intros u d.
      assert (sp : forall T `{Finite T} (x y z : T -> R) r, dot x (fun i => y i + r * z i) = dot x y + r * dot x z)
        by (intros; exact (dot_along_r _ _ _ _)).
      rewrite sp, (dot_comm (fun p => _ + s * _)), sp, (forward_adjoint_X oc oo), (forward_adjoint_X ok oo),
        (forward_adjoint_X oc ok), !(dot_comm d); auto.
  Qed.

  Variable idx : K -> C.
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.
  Notation A_of := (selector 0 1 idx).

  Lemma real_selector (X : B * C -> R) : rforward oc A_of X = gather (colmap idx) X.
  Proof. apply selector_gathers; intros; lra. Qed.

  (** The conversion is exact: the LoRA with the selector computes what the merged PaCA weight computes. *)
  Theorem paca_is_lora_with_selector (d : O * K -> R) (X : B * C -> R) :
    rforward oc (weights_of (colmap idx) (put_delta W s) W d) X = lora_forward A_of d X.
  Proof.
    unfold weights_of; rewrite (merge_exact oc ok idx idx_inj W).
    extensionality p; unfold lora_forward; f_equal; rewrite real_selector.
    unfold put_delta; rewrite <- (Rplus_0_l (s * _)).
    unfold forward, gather; rewrite !red_sum, <- sum_scal, Rplus_0_l; apply sum_ext; intros k; ring.
  Qed.

  (** LoRA's gradient of B, with the selector, is PaCA's gradient of delta: s * G^T X[:, I], from the gathered input. *)
  Theorem paca_gradient_is_lora_gradient (X : B * C -> R) (G : B * O -> R) :
    (fun p : O * K => s * rgrad_W ob G (rforward oc A_of X) p)
    = fun p => s * rgrad_W ob G (gather (colmap idx) X) p.
  Proof. now rewrite real_selector. Qed.
End Reals.
