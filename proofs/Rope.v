(** core/derived/rope.ts, layers/reshape.ts, the residual of core/chain.ts, biases: linear maps, whose transposes the code
    runs.

    Intuition: a position turns each pair of numbers by an angle; the gradient is turned back. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet Maps Differential.
Open Scope R_scope.

Section Rope.
  (** Cases, places, heads, half the numbers of a head: element [inl i] is i, element [inr i] is i + width/2. Each case has
      tables of its own, as rows of packed documents do, whose positions begin anew. *)
  Context {N T H F : Type} `{Finite N} `{Finite T} `{Finite H} `{Finite F}.
  Variables cosine sine : N -> T -> F -> R.
  Definition rope (x : (N * T) * (H * (F + F)) -> R) : (N * T) * (H * (F + F)) -> R := fun i =>
    let '((n, t), (h, e)) := i in
    match e with
    | inl f => x ((n, t), (h, inl f)) * cosine n t f - x ((n, t), (h, inr f)) * sine n t f
    | inr f => x ((n, t), (h, inr f)) * cosine n t f + x ((n, t), (h, inl f)) * sine n t f
    end.
  Definition rope_backward (dy : (N * T) * (H * (F + F)) -> R) : (N * T) * (H * (F + F)) -> R := fun i =>
    let '((n, t), (h, e)) := i in
    match e with
    | inl f => dy ((n, t), (h, inl f)) * cosine n t f + dy ((n, t), (h, inr f)) * sine n t f
    | inr f => dy ((n, t), (h, inr f)) * cosine n t f - dy ((n, t), (h, inl f)) * sine n t f
    end.

  Theorem vjp_rope x : is_vjp rope x rope_backward.
  Proof.
    assert (c : forall i a, is_diff (fun x : (N * T) * (H * (F + F)) -> R => x i * a) x (fun d => d i * a)).
    { intros i a; refine (diff_ext _ _ _ _ _ _ _ (diff_scal a _ _ _ (diff_coord i x))); intros; lra. }
    apply (vjp_of_components _ _ (fun i d => rope d i)).
    - intros [[n t] [h [f | f]]]; simpl; [apply diff_minus | apply diff_plus]; apply c.
    - intros dy d; unfold dot; rewrite !sum_prod; apply sum_ext; intros n; apply sum_ext; intros t.
      rewrite !sum_prod; apply sum_ext; intros h; rewrite !sum_sum, <- !sum_plus; apply sum_ext; intros f.
      simpl; ring.
  Qed.
End Rope.

(** x + f(x): the end of a residual branch. *)
Definition add_branches {I} (z : I + I -> R) : I -> R := fun i => z (inl i) + z (inr i).
Definition to_both {I} (dy : I -> R) : I + I -> R := both dy dy.

Theorem vjp_residual {I} `{Finite I} (z : I + I -> R) : is_vjp add_branches z to_both.
Proof.
  apply (vjp_of_components _ _ (fun i d => d (inl i) + d (inr i))).
  - intros i; apply diff_plus; apply diff_coord.
  - intros G d; unfold to_both; rewrite dot_both; unfold dot; rewrite <- sum_plus.
    apply sum_ext; intros; unfold fst', snd'; lra.
Qed.

Lemma vjp_id {I} `{Finite I} (x : I -> R) : is_vjp (fun x => x) x (fun dy => dy).
Proof. apply (vjp_of_components _ _ (fun i d => d i)); auto; intros i; apply diff_coord. Qed.

(** y = x + b, row by row. *)
Theorem vjp_bias {B O} `{Finite B} `{Finite O} (b : O -> R) (x : B * O -> R) :
  is_vjp (fun x p => x p + b (snd p)) x (fun dy => dy).
Proof.
  apply (vjp_of_components _ _ (fun p d => d p + 0)).
  - intros p; apply diff_plus; [apply diff_coord | apply diff_const].
  - intros G d; apply sum_ext; intros; lra.
Qed.
