(** layers/linear.ts, methods/paca.ts, layers/conv2d.ts.  One linear layer and its convolution, over ANY numbers with any
    [add], [mul], [zero] (no algebraic law is used) and ANY order of summation: the equalities hold bit for bit for floats.

    Intuition: a column of the weight gradient reads one column of the activations.  Who trains r columns needs r columns
    of x and nothing else, and the numbers are the very ones that full fine-tuning computes for these columns. *)
From Coq Require Import List FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter.

Section Numbers.
  Context {A : Type}.
  Variables (zero : A) (add mul : A -> A -> A).

  (** sum over i of f i, in the order of the tree *)
  Notation sum_in := (red zero add).

  Section Kernels.
    Context {B O C : Type} `{Finite B} `{Finite O} `{Finite C}.
    (** B: rows (examples and positions), C: input columns, O: outputs.  y = x W^T, dx = dy W, dW = dy^T x. *)
    Definition forward (oc : order C) (W : O * C -> A) (X : B * C -> A) : B * O -> A :=
      fun p => sum_in oc (fun c => mul (X (fst p, c)) (W (snd p, c))).
    Definition grad_W (ob : order B) (G : B * O -> A) (X : B * C -> A) : O * C -> A :=
      fun p => sum_in ob (fun b => mul (G (b, fst p)) (X (b, snd p))).
    Definition grad_X (oo : order O) (G : B * O -> A) (W : O * C -> A) : B * C -> A :=
      fun p => sum_in oo (fun o => mul (G (fst p, o)) (W (o, snd p))).
  End Kernels.

  (** PaCA's weight gradient is the same kernel on the gathered activations, which are all it is given ([B * K] instead of
      [B * C] numbers); it equals the selected columns of the full gradient. *)
  Theorem paca_grad_from_gathered {B O C K} `{Finite B} (ob : order B) (idx : K -> C) (G : B * O -> A) (X : B * C -> A) :
    grad_W ob G (gather (colmap idx) X) = gather (colmap idx) (grad_W ob G X).
  Proof. reflexivity. Qed.

  (** The same for whatever way two vectors are contracted: fused multiply-add, lanes, blocks, tensor cores. *)
  Theorem paca_grad_any_contraction {B O C K} (contract : (B -> A) -> (B -> A) -> A) (idx : K -> C)
      (G : B * O -> A) (X : B * C -> A) :
    let grad (X : B * K -> A) := fun p : O * K => contract (fun b => G (b, fst p)) (fun b => X (b, snd p)) in
    let full := fun p : O * C => contract (fun b => G (b, fst p)) (fun b => X (b, snd p)) in
    grad (gather (colmap idx) X) = gather (colmap idx) full.
  Proof. reflexivity. Qed.

  (** The gradient of a batch that is cut into micro-batches or shards M, each summed by itself and the sums then in the
      order [om], is the gradient of the whole batch in a declared order; so all the theorems hold for it. *)
  Theorem sharded_grad {M B O C} `{Finite M} `{Finite B} (om : order M) (ob : M -> order B)
      (G : (M * B) * O -> A) (X : (M * B) * C -> A) :
    grad_W (nested om ob) G X
    = fun p => sum_in om (fun m =>
        grad_W (ob m) (fun q => G ((m, fst q), snd q)) (fun q => X ((m, fst q), snd q)) p).
  Proof. extensionality p; exact (nested_red zero add om ob _). Qed.

  (** Convolution as a linear map on patches: [patch (p, c)] is the input pixel that column c of the patch at output
      position p reads, [None] for zero padding (any stride, dilation, padding, dimension). *)
  Definition im2col {B P C S} (patch : P * C -> option S) (X : B * S -> A) : (B * P) * C -> A :=
    fun p => match patch (snd (fst p), snd p) with
             | Some s => X (fst (fst p), s) | None => zero end.

  (** The pixels that were kept, those of the selected channels, are enough: [kept] says which they are, and [patch'] is how
      the selected columns of a patch read them. *)
  Theorem paca_conv_grad_from_gathered {B P O C K S S'} `{Finite B} `{Finite P} (ob : order (B * P))
      (idx : K -> C) (patch : P * C -> option S) (kept : S' -> S) (patch' : P * K -> option S')
      (G : (B * P) * O -> A) (X : B * S -> A) :
    (forall p, patch (colmap idx p) = option_map kept (patch' p)) ->
    grad_W ob G (im2col patch' (gather (colmap kept) X)) = gather (colmap idx) (grad_W ob G (im2col patch X)).
  Proof.
    intros reads; extensionality q; unfold gather, grad_W; apply red_ext; intros [b p]; f_equal.
    unfold im2col; simpl; assert (e := reads (p, snd q)); unfold colmap in e; simpl in e; rewrite e.
    now destruct (patch' (p, snd q)).
  Qed.
End Numbers.
