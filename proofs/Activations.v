(** core/derived/activations.ts, swiglu.ts: the backward formulas of the code are the derivatives.

    Intuition: an activation acts number by number, so its derivative is a diagonal and equals its own transpose. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet Maps Differential.
Open Scope R_scope.

(** y = x/(e^-x + 1); dx = dy * logistic * (x * (1 - logistic) + 1). *)
Definition logistic x := 1 / (exp (- x) + 1).
Definition silu x := x / (exp (- x) + 1).
Definition silu_backward x dy := dy * logistic x * (x * (1 - logistic x) + 1).

Lemma logistic_below x : 0 < exp (- x) + 1.
Proof. assert (h := exp_pos (- x)); lra. Qed.

Lemma diff_silu {I} `{Finite I} (L : (I -> R) -> R) x l : is_diff L x l ->
  is_diff (fun x => silu (L x)) x (fun d => silu_backward (L x) 1 * l d).
Proof.
  intros h; assert (p := logistic_below (L x)).
  assert (e := diff_plus _ _ _ _ _ (diff_exp _ _ _ (diff_opp _ _ _ h)) (diff_const 1 x)).
  refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _ (diff_div _ _ _ _ _ _ h e)); [| cbv beta; lra].
  intros d; unfold silu_backward, logistic; cbv beta; field; lra.
Qed.

Theorem vjp_silu {I} `{Finite I} (x : I -> R) :
  is_vjp (fun x i => silu (x i)) x (fun dy i => silu_backward (x i) (dy i)).
Proof.
  apply (vjp_of_components _ _ (fun i d => silu_backward (x i) 1 * d i)).
  - intros i; exact (diff_silu (fun x => x i) x (fun d => d i) (diff_coord i x)).
  - intros G d; apply sum_ext; intros i; unfold silu_backward; lra.
Qed.

(** y = tanh x is kept, and dx = dy * (1 - y^2). *)
Lemma derivable_tanh t : derivable_pt_lim tanh t (1 - tanh t * tanh t).
Proof.
  assert (c : 0 < cosh t) by (unfold cosh; assert (a := exp_pos t); assert (b := exp_pos (- t)); lra).
  assert (d := derivable_pt_lim_div sinh cosh t _ _ (derivable_pt_lim_sinh t) (derivable_pt_lim_cosh t)
                 (Rgt_not_eq _ _ c)).
  replace (1 - tanh t * tanh t) with ((cosh t * cosh t - sinh t * sinh t) / Rsqr (cosh t)); [exact d |].
  unfold tanh, Rsqr; field; lra.
Qed.

Theorem vjp_tanh {I} `{Finite I} (x : I -> R) :
  is_vjp (fun x i => tanh (x i)) x (fun dy i => dy i * (1 - tanh (x i) * tanh (x i))).
Proof.
  apply (vjp_ext (fun x i => tanh (x i)) _ x (fun dy i => (1 - tanh (x i) * tanh (x i)) * dy i) _
    (fun _ _ => eq_refl)); [intros; lra |].
  apply (vjp_elementwise tanh (fun t => 1 - tanh t * tanh t)); intros; apply derivable_tanh.
Qed.

(** ReLU away from 0: the mask is kept. At 0 there is no derivative, and the code takes 0. *)
Definition relu x := Rmax x 0.
Definition relu_backward x dy := if Rlt_dec 0 x then dy else 0.

Theorem vjp_relu {I} `{Finite I} (x : I -> R) : (forall i, x i <> 0) ->
  is_vjp (fun x i => relu (x i)) x (fun dy i => relu_backward (x i) (dy i)).
Proof.
  intros nz.
  apply (vjp_ext (fun x i => relu (x i)) _ x (fun dy i => relu_backward (x i) 1 * dy i) _ (fun _ _ => eq_refl)).
  { intros; unfold relu_backward; destruct (Rlt_dec 0 (x i)); lra. }
  apply (vjp_elementwise relu (fun t => relu_backward t 1)); intros i eps he.
  assert (p : 0 < Rabs (x i)) by (apply Rabs_pos_lt, nz).
  exists (mkposreal _ p); simpl; intros h hn hs.
  unfold relu, relu_backward; destruct (Rlt_dec 0 (x i)) as [pos | neg].
  - rewrite (Rabs_pos_eq (x i)) in hs by lra; apply Rabs_def2 in hs.
    rewrite !Rmax_left by lra; replace ((x i + h - x i) / h - 1) with 0 by (field; auto).
    now rewrite Rabs_R0.
  - assert (m : x i < 0) by (assert (q := nz i); lra).
    rewrite (Rabs_left (x i)) in hs by lra; apply Rabs_def2 in hs.
    rewrite !Rmax_right by lra; replace ((0 - 0) / h - 0) with 0 by (field; auto).
    now rewrite Rabs_R0.
Qed.

(** SwiGLU reads the gate and the other branch: dup = dy * silu(gate), dgate = silu'(gate) on dy * up. *)
Definition swiglu {I} (z : I + I -> R) : I -> R := fun i => silu (z (inl i)) * z (inr i).
Definition swiglu_backward {I} (z : I + I -> R) (dy : I -> R) : I + I -> R :=
  both (fun i => silu_backward (z (inl i)) (dy i * z (inr i))) (fun i => dy i * silu (z (inl i))).

Theorem vjp_swiglu {I} `{Finite I} (z : I + I -> R) : is_vjp swiglu z (swiglu_backward z).
Proof.
  apply (vjp_of_components _ _ (fun i d => silu_backward (z (inl i)) 1 * d (inl i) * z (inr i)
                                           + silu (z (inl i)) * d (inr i))).
  - intros i; apply (diff_mult (fun z => silu (z (inl i))) (fun z => z (inr i)) z _ (fun d => d (inr i)));
      [| apply diff_coord].
    exact (diff_silu (fun z => z (inl i)) z (fun d => d (inl i)) (diff_coord (inl i) z)).
  - intros G d; unfold swiglu_backward; rewrite dot_both; unfold dot.
    rewrite <- sum_plus; apply sum_ext; intros i; unfold fst', snd', silu_backward; lra.
Qed.
