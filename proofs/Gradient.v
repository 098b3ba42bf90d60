(** Gradients over the reals.  [is_grad L w g]: g represents the directional derivatives of L
    at w (Gateaux gradient: weaker than Frechet differentiability, so the theorems are
    stronger). *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear.
Open Scope R_scope.

Section Vec.
  Context {I : Type} `{Finite I}.
  Implicit Types u v w g d : I -> R.

  Definition dot u v : R := sum (fun i => u i * v i).
  Definition along (w : I -> R) (t : R) (d : I -> R) : I -> R := fun i => w i + t * d i.

  Definition is_grad (L : (I -> R) -> R) w g : Prop :=
    forall d, derivable_pt_lim (fun t => L (along w t d)) 0 (dot g d).

  Definition basis (i : I) : I -> R := fun j => if fin_dec i j then 1 else 0.

  Lemma dot_basis v i : dot v (basis i) = v i.
  Proof.
    unfold dot, basis; rewrite <- (sum_pick i v); apply sum_ext; intros j.
    destruct (fin_dec i j); lra.
  Qed.

  Lemma dot_eq u v : (forall d, dot u d = dot v d) -> u = v.
  Proof. intros h; extensionality i; rewrite <- (dot_basis u), <- (dot_basis v); auto. Qed.

  Theorem grad_unique L w g g' : is_grad L w g -> is_grad L w g' -> g = g'.
  Proof.
    intros h h'; apply dot_eq; intros d.
    now apply (uniqueness_limite (fun t => L (along w t d)) 0).
  Qed.
End Vec.

(** ** Norms *)
Section Norm.
  Context {I : Type} `{Finite I}.
  Implicit Types u v w d : I -> R.

  Definition vsub u v : I -> R := fun i => u i - v i.
  Definition norm v := sqrt (dot v v).

  Lemma dot_comm u v : dot u v = dot v u.
  Proof. apply sum_ext; intros; lra. Qed.
  Lemma dot_scal_r u a v : dot u (fun i => a * v i) = a * dot u v.
  Proof. unfold dot; rewrite <- sum_scal; apply sum_ext; intros; lra. Qed.
  Lemma dot_sub_l u v w : dot (vsub u v) w = dot u w - dot v w.
  Proof.
    unfold dot, vsub.
    replace (sum (fun i => u i * w i) - sum (fun i => v i * w i))
      with (sum (fun i => u i * w i) + -1 * sum (fun i => v i * w i)) by lra.
    rewrite <- sum_scal, <- sum_plus; apply sum_ext; intros; lra.
  Qed.
  Lemma dot_pos v : 0 <= dot v v.
  Proof. apply sum_nonneg; intros; apply Rle_0_sqr. Qed.
  Lemma dot_zero v : dot v v = 0 -> forall i, v i = 0.
  Proof.
    intros e i; apply Rsqr_0_uniq.
    exact (sum_nonneg_0 (fun i => v i * v i) (fun i => Rle_0_sqr (v i)) e i).
  Qed.
  Lemma norm_pos v : 0 <= norm v.
  Proof. apply sqrt_pos. Qed.
  Lemma norm_sqr v : norm v * norm v = dot v v.
  Proof. apply sqrt_sqrt, dot_pos. Qed.

  Lemma dot_along u a v : dot (along u a v) (along u a v)
                          = dot u u + 2 * a * dot u v + a * a * dot v v.
  Proof.
    unfold dot, along.
    rewrite <- !sum_scal, <- !sum_plus; apply sum_ext; intros; lra.
  Qed.

  Lemma cauchy_schwarz u v : dot u v <= norm u * norm v.
  Proof.
    destruct (Rle_dec (dot u v) 0) as [n | n].
    { assert (0 <= norm u * norm v) by (apply Rmult_le_pos; apply norm_pos); lra. }
    apply Rsqr_incr_0_var; [| apply Rmult_le_pos; apply norm_pos].
    unfold Rsqr; replace (norm u * norm v * (norm u * norm v))
      with ((norm u * norm u) * (norm v * norm v)) by lra; rewrite !norm_sqr.
    assert (pu := dot_pos u); assert (pv := dot_pos v).
    destruct (Req_dec (dot v v) 0) as [z | nz].
    - assert (q := dot_pos (along u (- (dot u u + 1) / (2 * dot u v)) v)).
      rewrite dot_along, z in q.
      replace (2 * (- (dot u u + 1) / (2 * dot u v)) * dot u v) with (- (dot u u + 1)) in q
        by (field; lra); lra.
    - assert (q := dot_pos (along u (- dot u v / dot v v) v)); rewrite dot_along in q.
      replace (dot u u + 2 * (- dot u v / dot v v) * dot u v
               + - dot u v / dot v v * (- dot u v / dot v v) * dot v v)
        with ((dot u u * dot v v - dot u v * dot u v) / dot v v) in q by (field; lra).
      apply Rmult_le_compat_r with (r := dot v v) in q; [| lra].
      unfold Rdiv in q; rewrite Rmult_assoc, Rinv_l in q; lra.
  Qed.

  Lemma norm_scal a v : norm (fun i => a * v i) = Rabs a * norm v.
  Proof.
    unfold norm; rewrite dot_scal_r, dot_comm, dot_scal_r, <- Rmult_assoc.
    change (a * a) with (Rsqr a); rewrite sqrt_mult, sqrt_Rsqr_abs; auto using Rle_0_sqr, dot_pos.
  Qed.

  Lemma norm_triangle u v : norm (along u 1 v) <= norm u + norm v.
  Proof.
    apply Rsqr_incr_0_var; [unfold Rsqr | assert (a := norm_pos u); assert (b := norm_pos v); lra].
    rewrite norm_sqr, dot_along; assert (c := cauchy_schwarz u v).
    assert (nu := norm_sqr u); assert (nv := norm_sqr v); nra.
  Qed.
End Norm.

(** Chain rule for an affine map [phi] whose linear part [lin] has adjoint [adj]. *)
Theorem grad_affine {I J} `{Finite I} `{Finite J} (L : (I -> R) -> R)
    (phi lin : (J -> R) -> (I -> R)) (adj : (I -> R) -> (J -> R)) q g :
  (forall t d, phi (along q t d) = along (phi q) t (lin d)) ->
  (forall u d, dot u (lin d) = dot (adj u) d) ->
  is_grad L (phi q) g -> is_grad (fun q => L (phi q)) q (adj g).
Proof.
  intros aff adjoint h d; rewrite <- adjoint.
  replace (fun t => L (phi (along q t d))) with (fun t => L (along (phi q) t (lin d)));
    [apply h | extensionality t; now rewrite aff].
Qed.

(** ** The layer kernels of Layer.v, over the reals, compute the gradients. *)
Notation rforward := (forward 0 Rplus Rmult).
Notation rgrad_W := (grad_W 0 Rplus Rmult).
Notation rgrad_X := (grad_X 0 Rplus Rmult).
Notation rim2col := (im2col 0).

Section LayerGradients.
  Context {B O C : Type} `{Finite B} `{Finite O} `{Finite C}.
  Variables (oc : order C) (oo : order O) (ob : order B).
  Variable loss : (B * O -> R) -> R.       (* the rest of the network and the loss *)

  Lemma forward_adjoint_W (U : B * O -> R) (X : B * C -> R) (D : O * C -> R) :
    dot U (rforward oc D X) = dot (rgrad_W ob U X) D.
  Proof.
    unfold dot; rewrite !sum_prod; unfold forward, grad_W; simpl.
    rewrite sum_swap; apply sum_ext; intros o.
    transitivity (sum (fun b => sum (fun c => U (b, o) * X (b, c) * D (o, c)))).
    - apply sum_ext; intros b; rewrite red_sum, <- sum_scal; apply sum_ext; intros; lra.
    - rewrite sum_swap; apply sum_ext; intros c; rewrite red_sum, Rmult_comm, <- sum_scal.
      apply sum_ext; intros; lra.
  Qed.

  Lemma forward_adjoint_X (U : B * O -> R) (W : O * C -> R) (D : B * C -> R) :
    dot U (rforward oc W D) = dot (rgrad_X oo U W) D.
  Proof.
    unfold dot; rewrite !sum_prod; unfold forward, grad_X; simpl.
    apply sum_ext; intros b.
    transitivity (sum (fun o => sum (fun c => U (b, o) * W (o, c) * D (b, c)))).
    - apply sum_ext; intros o; rewrite red_sum, <- sum_scal; apply sum_ext; intros; lra.
    - rewrite sum_swap; apply sum_ext; intros c; rewrite red_sum, Rmult_comm, <- sum_scal.
      apply sum_ext; intros; lra.
  Qed.

  Lemma forward_along_W (W D : O * C -> R) (X : B * C -> R) t :
    rforward oc (along W t D) X = along (rforward oc W X) t (rforward oc D X).
  Proof.
    extensionality p; unfold forward, along; rewrite !red_sum.
    rewrite <- sum_scal, <- sum_plus; apply sum_ext; intros; lra.
  Qed.

  Lemma forward_along_X (W : O * C -> R) (X D : B * C -> R) t :
    rforward oc W (along X t D) = along (rforward oc W X) t (rforward oc W D).
  Proof.
    extensionality p; unfold forward, along; rewrite !red_sum.
    rewrite <- sum_scal, <- sum_plus; apply sum_ext; intros; lra.
  Qed.

  Theorem weight_gradient (W : O * C -> R) (X : B * C -> R) G :
    is_grad loss (rforward oc W X) G ->
    is_grad (fun W => loss (rforward oc W X)) W (rgrad_W ob G X).
  Proof.
    apply (grad_affine loss (fun W => rforward oc W X) (fun D => rforward oc D X)
             (fun G => rgrad_W ob G X)).
    - intros; apply forward_along_W.
    - intros; apply forward_adjoint_W.
  Qed.

  (** For whatever weights the layer holds, merged PaCA weights included. *)
  Theorem input_gradient (W : O * C -> R) (X : B * C -> R) G :
    is_grad loss (rforward oc W X) G ->
    is_grad (fun X => loss (rforward oc W X)) X (rgrad_X oo G W).
  Proof.
    apply (grad_affine loss (fun X => rforward oc W X) (fun D => rforward oc W D)
             (fun G => rgrad_X oo G W)).
    - intros; apply forward_along_X.
    - intros; apply forward_adjoint_X.
  Qed.
End LayerGradients.

(** ** Any network: the gradient with respect to the compact trainable tensor. *)
Section Restriction.
  Context {I J : Type} `{Finite I} `{Finite J}.
  Variable idx : J -> I.
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.

  (** Projection on the selected coordinates. *)
  Definition proj (v : I -> R) : I -> R := fun i => if selected idx i then v i else 0.

  Lemma sum_selected (f : I -> R) :
    sum (fun j => f (idx j)) = sum (fun i => if selected idx i then f i else 0).
  Proof.
    transitivity (sum (fun j => sum (fun i => if fin_dec (idx j) i then f i else 0))).
    { apply sum_ext; intros j; now rewrite sum_pick. }
    rewrite sum_swap; apply sum_ext; intros i; unfold selected.
    destruct (preimage idx i) as [j |] eqn:e.
    - apply preimage_some in e; subst i.
      transitivity (sum (fun k => if fin_dec j k then f (idx j) else 0));
        [| exact (sum_pick j (fun _ => f (idx j)))].
      apply sum_ext; intros k.
      destruct (fin_dec (idx k) (idx j)) as [ek | nk], (fin_dec j k) as [e2 | n2]; auto.
      + apply idx_inj in ek; congruence.
      + congruence.
    - transitivity (sum (fun _ : J => 0)); [| apply sum_0].
      apply sum_ext; intros j; destruct (fin_dec (idx j) i); auto.
      exfalso; now apply (preimage_none _ _ e j).
  Qed.

  (** Gather and scatter-into-zero are adjoint. *)
  Lemma dot_gather u d : dot u (scatter idx (fun _ => 0) d) = dot (gather idx u) d.
  Proof.
    unfold dot.
    transitivity (sum (fun j => u (idx j) * scatter idx (fun _ => 0) d (idx j))).
    - rewrite (sum_selected (fun i => u i * scatter idx (fun _ => 0) d i)).
      apply sum_ext; intros i; unfold scatter, selected; destruct (preimage idx i); lra.
    - apply sum_ext; intros j; rewrite scatter_selected; auto.
  Qed.

  (** The PaCA gradient is the selected part of the full gradient at the merged weights. *)
  Theorem paca_gradient (L : (I -> R) -> R) (w0 : I -> R) (q : J -> R) g :
    is_grad L (scatter idx w0 q) g ->
    is_grad (fun q => L (scatter idx w0 q)) q (gather idx g).
  Proof.
    apply (grad_affine L (scatter idx w0) (scatter idx (fun _ => 0))).
    - intros t d; extensionality i; unfold scatter, along; destruct (preimage idx i); lra.
    - apply dot_gather.
  Qed.

  (** Norms: clipping by the norm of the trainable gradients is clipping the masked one. *)
  Theorem gather_norm g : dot (gather idx g) (gather idx g) = dot (proj g) (proj g).
  Proof.
    unfold dot, gather; rewrite (sum_selected (fun i => g i * g i)).
    apply sum_ext; intros i; unfold proj; destruct (selected idx i); lra.
  Qed.

  Lemma proj_self_adjoint u v : dot (proj u) v = dot u (proj v).
  Proof. apply sum_ext; intros i; unfold proj; destruct (selected idx i); lra. Qed.
  Lemma proj_idem v : proj (proj v) = proj v.
  Proof. extensionality i; unfold proj; now destruct (selected idx i). Qed.
End Restriction.

(** ** Layer form: gradient of the loss in the selected columns Q, from gathered activations. *)
Theorem paca_layer_gradient {B O C K} `{Finite B} `{Finite O} `{Finite C} `{Finite K}
    (oc : order C) (ob : order B) (idx : K -> C) (idx_inj : forall j k, idx j = idx k -> j = k)
    (loss : (B * O -> R) -> R) (W0 : O * C -> R) (Q : O * K -> R) (X : B * C -> R) G :
  is_grad loss (rforward oc (scatter (colmap idx) W0 Q) X) G ->
  is_grad (fun Q => loss (rforward oc (scatter (colmap idx) W0 Q) X)) Q
          (rgrad_W ob G (gather (colmap idx) X)).
Proof.
  intros h; rewrite paca_grad_from_gathered.
  apply (paca_gradient (colmap idx) (colmap_inj idx idx_inj) (fun W => loss (rforward oc W X))).
  apply (weight_gradient oc ob loss); exact h.
Qed.

(** Merging is exact.  A frozen layer plus a path on the gathered activations computes
    the same as the merged layer, which costs what the pretrained layer costs. *)
Theorem merge_exact {B O C K} `{Finite B} `{Finite O} `{Finite C} `{Finite K}
    (oc : order C) (ok : order K) (idx : K -> C) (idx_inj : forall j k, idx j = idx k -> j = k)
    (W0 : O * C -> R) (Q : O * K -> R) (X : B * C -> R) :
  rforward oc (scatter (colmap idx) W0 Q) X =
  fun p => rforward oc W0 X p
           + rforward ok (fun c => Q c - gather (colmap idx) W0 c) (gather (colmap idx) X) p.
Proof.
  extensionality p; destruct p as [b o]; unfold forward; cbn [fst snd].
  rewrite !red_sum.
  transitivity (sum (fun c => X (b, c) * W0 (o, c)
     + (if selected idx c then X (b, c) * (scatter (colmap idx) W0 Q (o, c) - W0 (o, c)) else 0))).
  - apply sum_ext; intros c; destruct (selected idx c) eqn:e; [lra |].
    assert (f : selected (colmap (O := O) idx) (o, c) = false).
    { destruct (selected (colmap idx) (o, c)) eqn:e'; auto.
      apply (selected_iff _ (colmap_inj idx idx_inj)) in e'; destruct e' as [[o' k] ek].
      unfold colmap in ek; simpl in ek; injection ek; intros; subst.
      rewrite selected_idx in e; auto. }
    rewrite (scatter_frozen _ _ _ _ f); lra.
  - rewrite sum_plus; f_equal.
    rewrite <- (sum_selected idx idx_inj
      (fun c => X (b, c) * (scatter (colmap idx) W0 Q (o, c) - W0 (o, c)))).
    apply sum_ext; intros k; f_equal; f_equal.
    exact (scatter_selected _ (colmap_inj idx idx_inj) W0 Q (o, k)).
Qed.
