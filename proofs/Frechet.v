(** Frechet derivatives and their transposes: what it means that a backward formula is right, and the rules of composition
    (core/layer.ts: [andThen], [fork]).

    Intuition: near x a smooth map is a linear map plus an error that is small against the move; the backward formula must
    be the transpose of that linear map, and transposes compose in reverse order. That is all of backpropagation. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient.
Open Scope R_scope.

(** ** Frechet gradients and derivatives *)
Definition is_fgrad {I} `{Finite I} (L : (I -> R) -> R) w g : Prop :=
  forall eps, 0 < eps -> exists delta, 0 < delta /\ forall d, norm d < delta ->
    Rabs (L (along w 1 d) - L w - dot g d) <= eps * norm d.

Lemma fgrad_grad {I} `{Finite I} (L : (I -> R) -> R) w g : is_fgrad L w g -> is_grad L w g.
Proof.
  intros h d eps he; assert (nd := norm_pos d).
  destruct (h (eps / (2 * (norm d + 1)))) as [delta [dp hd]]; [apply Rdiv_lt_0_compat; lra |].
  assert (dp' : 0 < delta / (norm d + 1)) by (apply Rdiv_lt_0_compat; lra).
  exists (mkposreal _ dp'); simpl; intros s s0 sd.
  assert (as0 : 0 < Rabs s) by now apply Rabs_pos_lt.
  assert (small : norm (fun i => s * d i) < delta).
  { rewrite norm_scal; apply Rmult_lt_compat_r with (r := norm d + 1) in sd; [| lra].
    replace (delta / (norm d + 1) * (norm d + 1)) with delta in sd by (field; lra).
    nra. }
  specialize (hd _ small).
  replace (along w 1 (fun i => s * d i)) with (along w (0 + s) d) in hd
    by (extensionality i; unfold along; lra).
  replace (along w 0 d) with w by (extensionality i; unfold along; lra).
  rewrite dot_scal_r, norm_scal in hd.
  replace ((L (along w (0 + s) d) - L w) / s - dot g d)
    with ((L (along w (0 + s) d) - L w - s * dot g d) / s) by (field; auto).
  unfold Rdiv; rewrite Rabs_mult, Rabs_inv.
  apply Rmult_lt_reg_r with (Rabs s); auto.
  rewrite Rmult_assoc, Rinv_l by lra; rewrite Rmult_1_r.
  eapply Rle_lt_trans; [exact hd |].
  replace (eps / (2 * (norm d + 1)) * (Rabs s * norm d))
    with (eps * Rabs s * (norm d / (2 * (norm d + 1)))) by (field; lra).
  assert (r : norm d / (2 * (norm d + 1)) < 1).
  { apply Rmult_lt_reg_r with (2 * (norm d + 1)); [lra |].
    unfold Rdiv; rewrite Rmult_assoc, Rinv_l by lra; lra. }
  assert (0 < eps * Rabs s) by now apply Rmult_lt_0_compat.
  nra.
Qed.

(** [vjp] is the transposed Frechet derivative of [f] at x. *)
Definition is_vjp {I K} `{Finite I} `{Finite K} (f : (I -> R) -> (K -> R)) x vjp : Prop :=
  exists (l : (I -> R) -> (K -> R)) C, 0 <= C /\
    (forall d, norm (l d) <= C * norm d) /\
    (forall G d, dot G (l d) = dot (vjp G) d) /\
    (forall eps, 0 < eps -> exists delta, 0 < delta /\ forall d, norm d < delta ->
       norm (vsub (vsub (f (along x 1 d)) (f x)) (l d)) <= eps * norm d).

(** The same, jointly in the weights w and the input x. *)
Definition is_vjp2 {P I K} `{Finite P} `{Finite I} `{Finite K}
    (f : (P -> R) -> (I -> R) -> (K -> R)) w x vw vx : Prop :=
  exists (l : (P -> R) -> (I -> R) -> (K -> R)) C, 0 <= C /\
    (forall e d, norm (l e d) <= C * (norm e + norm d)) /\
    (forall G e d, dot G (l e d) = dot (vw G) e + dot (vx G) d) /\
    (forall eps, 0 < eps -> exists delta, 0 < delta /\ forall e d, norm e + norm d < delta ->
       norm (vsub (vsub (f (along w 1 e) (along x 1 d)) (f w x)) (l e d))
       <= eps * (norm e + norm d)).

Definition zero {I} : I -> R := fun _ => 0.

Section Vec.
  Context {I : Type} `{Finite I}.
  Implicit Types u v w : I -> R.
  Lemma dot_along_r u v a w : dot u (along v a w) = dot u v + a * dot u w.
  Proof.
    unfold dot, along; rewrite <- sum_scal, <- sum_plus; apply sum_ext; intros; lra.
  Qed.
  Lemma dot_along_l u v a w : dot (along v a w) u = dot v u + a * dot w u.
  Proof. rewrite dot_comm, dot_along_r, (dot_comm u v), (dot_comm u w); auto. Qed.
  Lemma norm_zero : norm (zero (I := I)) = 0.
  Proof.
    unfold norm, zero, dot; rewrite (sum_ext _ (fun _ => 0)), sum_0 by (intros; lra).
    apply sqrt_0.
  Qed.
  Lemma norm_le_sqr v b : 0 <= b -> dot v v <= b * b -> norm v <= b.
  Proof.
    intros hb h; apply Rsqr_incr_0_var; auto; unfold Rsqr; now rewrite norm_sqr.
  Qed.
  Lemma cauchy_schwarz_sqr u v : dot u v * dot u v <= dot u u * dot v v.
  Proof.
    assert (a := cauchy_schwarz u v); assert (b := cauchy_schwarz u (fun i => -1 * v i)).
    rewrite dot_scal_r, norm_scal, (Rabs_left (-1)) in b by lra.
    rewrite <- !norm_sqr; assert (nu := norm_pos u); assert (nv := norm_pos v).
    assert (p : 0 <= norm u * norm v) by now apply Rmult_le_pos.
    replace (norm u * norm u * (norm v * norm v)) with (norm u * norm v * (norm u * norm v)) by lra.
    apply Rsqr_le_abs_1; rewrite (Rabs_pos_eq (norm u * norm v)) by auto; apply Rabs_le; lra.
  Qed.
End Vec.

Section Sums.
  Context {S T : Type} `{Finite S} `{Finite T}.
  Lemma dot_both (u : S -> R) (v : T -> R) (e : S + T -> R) :
    dot (both u v) e = dot u (fst' e) + dot v (snd' e).
  Proof. unfold dot; now rewrite sum_sum. Qed.
  Lemma dot_both_r (e : S + T -> R) (u : S -> R) (v : T -> R) :
    dot e (both u v) = dot (fst' e) u + dot (snd' e) v.
  Proof. unfold dot; now rewrite sum_sum. Qed.
  Lemma norm_both (u : S -> R) (v : T -> R) : norm (both u v) <= norm u + norm v.
  Proof.
    assert (nu := norm_pos u); assert (nv := norm_pos v).
    apply norm_le_sqr; [lra |]; rewrite dot_both_r.
    change (fst' (both u v)) with u; change (snd' (both u v)) with v.
    rewrite <- !norm_sqr; nra.
  Qed.
  Lemma norm_fst (e : S + T -> R) : norm (fst' e) <= norm e.
  Proof.
    apply sqrt_le_1_alt; unfold dot at 2; rewrite sum_sum.
    assert (p := dot_pos (snd' e)); unfold dot, fst', snd' in *; lra.
  Qed.
  Lemma norm_snd (e : S + T -> R) : norm (snd' e) <= norm e.
  Proof.
    apply sqrt_le_1_alt; unfold dot at 2; rewrite sum_sum.
    assert (p := dot_pos (fst' e)); unfold dot, fst', snd' in *; lra.
  Qed.
End Sums.

Lemma norm_forward {B O C} `{Finite B} `{Finite O} `{Finite C} (oc : order C) (W : O * C -> R) (X : B * C -> R) :
  norm (rforward oc W X) <= norm W * norm X.
Proof.
  apply norm_le_sqr; [apply Rmult_le_pos; apply norm_pos |].
  replace (norm W * norm X * (norm W * norm X)) with ((norm W * norm W) * (norm X * norm X)) by lra.
  rewrite !norm_sqr.
  unfold dot at 1; rewrite sum_prod.
  apply Rle_trans with (sum (fun b => sum (fun o => dot (fun c => W (o, c)) (fun c => W (o, c))
                                         * dot (fun c => X (b, c)) (fun c => X (b, c))))).
  - apply sum_le; intros b; apply sum_le; intros o; unfold forward; cbn [fst snd].
    rewrite red_sum, (Rmult_comm (dot (fun c => W (o, c)) _)).
    apply (cauchy_schwarz_sqr (fun c => X (b, c)) (fun c => W (o, c))).
  - apply Req_le; unfold dot at 3 4; rewrite !sum_prod.
    rewrite <- sum_scal; apply sum_ext; intros b.
    rewrite Rmult_comm, <- sum_scal; apply sum_ext; intros o; unfold dot; lra.
Qed.

(** ** Linear in both arguments, from the adjoint *)
Section Linearity.
  Context {P I K : Type} `{Finite P} `{Finite I} `{Finite K}.
  Variables (l : (P -> R) -> (I -> R) -> (K -> R)) (vw : (K -> R) -> (P -> R))
            (vx : (K -> R) -> (I -> R)).
  Hypothesis adj : forall G e d, dot G (l e d) = dot (vw G) e + dot (vx G) d.
  Lemma l_add e d r : l e (along d 1 r) = along (l e d) 1 (l zero r).
  Proof.
    apply dot_eq; intros G; rewrite dot_comm, dot_along_l, !(dot_comm _ G), !adj, dot_along_r.
    replace (dot (vw G) zero) with 0; [lra |].
    unfold dot, zero; rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra.
  Qed.
End Linearity.

(** ** The pieces of a network *)
Lemma vjp_linear {B O C} `{Finite B} `{Finite O} `{Finite C} (oc : order C) (oo : order O) (ob : order B)
    (W : O * C -> R) (X : B * C -> R) :
  is_vjp2 (fun (W : O * C -> R) (X : B * C -> R) => rforward oc W X) W X
    (fun G : B * O -> R => rgrad_W ob G X) (fun G => rgrad_X oo G W).
Proof.
  exists (fun e d => along (rforward oc e X) 1 (rforward oc W d)), (norm W + norm X).
  assert (nw := norm_pos W); assert (nx := norm_pos X).
  split; [lra |]; split; [| split].
  - intros e d; eapply Rle_trans; [apply norm_triangle |].
    assert (a := (norm_forward oc) e X); assert (b := (norm_forward oc) W d).
    assert (ne := norm_pos e); assert (nd := norm_pos d); nra.
  - intros G e d; rewrite dot_along_r, Rmult_1_l.
    now rewrite <- (forward_adjoint_W oc ob), <- (forward_adjoint_X oc oo).
  - intros eps he; exists eps; split; auto; intros e d small.
    assert (ne := norm_pos e); assert (nd := norm_pos d).
    replace (vsub _ _) with (rforward oc e d).
    + eapply Rle_trans; [apply (norm_forward oc) |]; nra.
    + rewrite forward_along_W, !forward_along_X; extensionality p; unfold vsub, along; lra.
Qed.

Lemma vjp_seq {P Q I J K} `{Finite P} `{Finite Q} `{Finite I} `{Finite J} `{Finite K}
    (f : (P -> R) -> (I -> R) -> (J -> R)) (g : (Q -> R) -> (J -> R) -> (K -> R))
    w x vwf vxf vwg vxg :
  is_vjp2 f (fst' w) x vwf vxf ->
  is_vjp2 g (snd' w) (f (fst' w) x) vwg vxg ->
  is_vjp2 (fun w x => g (snd' w) (f (fst' w) x)) w x
    (fun G => both (vwf (vxg G)) (vwg G)) (fun G => vxf (vxg G)).
Proof.
  intros [lf [Cf [pf [bf [af hf]]]]] [lg [Cg [pg [bg [ag hg]]]]].
  exists (fun e d => lg (snd' e) (lf (fst' e) d)), (Cg * (1 + Cf)).
  split; [apply Rmult_le_pos; lra |]; split; [| split].
  - intros e d; eapply Rle_trans; [apply bg |].
    rewrite Rmult_assoc; apply Rmult_le_compat_l; auto.
    assert (a := bf (fst' e) d); assert (n1 := norm_fst e); assert (n2 := norm_snd e).
    assert (ne := norm_pos e); assert (nd := norm_pos d); nra.
  - intros G e d; rewrite ag, af, dot_both; lra.
  - intros eps he.
    set (eps1 := Rmin 1 (eps / (2 * (Cg + 1)))).
    assert (e1 : 0 < eps1) by (apply Rmin_pos; [lra | apply Rdiv_lt_0_compat; lra]).
    destruct (hf eps1 e1) as [d1 [d1p h1]].
    destruct (hg (eps / (2 * (Cf + 2)))) as [d2 [d2p h2]]; [apply Rdiv_lt_0_compat; lra |].
    exists (Rmin d1 (d2 / (Cf + 2))).
    split; [apply Rmin_pos; auto; apply Rdiv_lt_0_compat; lra |].
    intros e d small.
    assert (n1 := norm_fst e); assert (n2 := norm_snd e).
    assert (ne := norm_pos e); assert (nd := norm_pos d).
    assert (m1 := Rmin_l d1 (d2 / (Cf + 2))); assert (m2 := Rmin_r d1 (d2 / (Cf + 2))).
    set (s := norm e + norm d) in *.
    set (Y := f (fst' w) x) in *.
    change (fst' (along w 1 e)) with (along (fst' w) 1 (fst' e)).
    change (snd' (along w 1 e)) with (along (snd' w) 1 (snd' e)).
    set (Y' := f (along (fst' w) 1 (fst' e)) (along x 1 d)).
    set (r := vsub (vsub Y' Y) (lf (fst' e) d)).
    assert (hr : norm r <= eps1 * s).
    { eapply Rle_trans; [apply h1; unfold s in *; lra |].
      apply Rmult_le_compat_l; unfold s; lra. }
    assert (one : eps1 <= 1) by apply Rmin_l.
    assert (half : eps1 <= eps / (2 * (Cg + 1))) by apply Rmin_r.
    assert (sp : 0 <= s) by (unfold s; lra).
    assert (bl := bf (fst' e) d).
    assert (hY : norm (vsub Y' Y) <= (Cf + 1) * s).
    { replace (vsub Y' Y) with (along (lf (fst' e) d) 1 r)
        by (extensionality j; unfold along, r, vsub; lra).
      eapply Rle_trans; [apply norm_triangle |].
      assert (norm (fst' e) + norm d <= s) by (unfold s; lra); nra. }
    assert (total : norm (snd' e) + norm (vsub Y' Y) <= (Cf + 2) * s)
      by (assert (norm (snd' e) <= s) by (unfold s; lra); lra).
    assert (s2 : (Cf + 2) * s < d2).
    { apply Rlt_le_trans with (r2 := (Cf + 2) * (d2 / (Cf + 2))).
      - apply Rmult_lt_compat_l; lra.
      - apply Req_le; field; lra. }
    specialize (h2 (snd' e) (vsub Y' Y) ltac:(lra)).
    replace (along Y 1 (vsub Y' Y)) with Y' in h2
      by (extensionality j; unfold along, vsub; lra).
    set (r2 := vsub (vsub (g (along (snd' w) 1 (snd' e)) Y') (g (snd' w) Y))
                 (lg (snd' e) (vsub Y' Y))) in *.
    replace (vsub (vsub (g (along (snd' w) 1 (snd' e)) Y') (g (snd' w) Y))
               (lg (snd' e) (lf (fst' e) d))) with (along r2 1 (lg zero r)).
    2: { unfold r2.
         replace (vsub Y' Y) with (along (lf (fst' e) d) 1 r)
           by (extensionality j; unfold along, r, vsub; lra).
         rewrite (l_add lg vwg vxg ag); extensionality k; unfold along, vsub; lra. }
    eapply Rle_trans; [apply norm_triangle |].
    assert (g1 : norm r2 <= eps / 2 * s).
    { eapply Rle_trans; [exact h2 |].
      replace (eps / 2 * s) with (eps / (2 * (Cf + 2)) * ((Cf + 2) * s)) by (field; lra).
      apply Rmult_le_compat_l; [| exact total].
      apply Rlt_le, Rdiv_lt_0_compat; lra. }
    assert (g2 : norm (lg zero r) <= eps / 2 * s).
    { eapply Rle_trans; [apply bg |]; rewrite norm_zero, Rplus_0_l.
      apply Rle_trans with (Cg * (eps / (2 * (Cg + 1)) * s)).
      - apply Rmult_le_compat_l; auto; eapply Rle_trans; [exact hr |].
        now apply Rmult_le_compat_r.
      - apply Rle_trans with ((Cg + 1) * (eps / (2 * (Cg + 1)) * s)).
        + apply Rmult_le_compat_r; [| lra].
          apply Rmult_le_pos; auto; apply Rlt_le, Rdiv_lt_0_compat; lra.
        + apply Req_le; field; lra. }
    lra.
Qed.

Lemma vjp_fork {P Q I D E} `{Finite P} `{Finite Q} `{Finite I} `{Finite D} `{Finite E}
    (f : (P -> R) -> (I -> R) -> (D -> R)) (g : (Q -> R) -> (I -> R) -> (E -> R))
    w x vwf vxf vwg vxg :
  is_vjp2 f (fst' w) x vwf vxf -> is_vjp2 g (snd' w) x vwg vxg ->
  is_vjp2 (fun w x => both (f (fst' w) x) (g (snd' w) x)) w x
    (fun G => both (vwf (fst' G)) (vwg (snd' G)))
    (fun G i => vxf (fst' G) i + vxg (snd' G) i).
Proof.
  intros [lf [Cf [pf [bf [af hf]]]]] [lg [Cg [pg [bg [ag hg]]]]].
  exists (fun e d => both (lf (fst' e) d) (lg (snd' e) d)), (Cf + Cg).
  split; [lra |]; split; [| split].
  - intros e d; eapply Rle_trans; [apply norm_both |].
    assert (a := bf (fst' e) d); assert (b := bg (snd' e) d).
    assert (n1 := norm_fst e); assert (n2 := norm_snd e).
    assert (ne := norm_pos e); assert (nd := norm_pos d); nra.
  - intros G e d; rewrite dot_both_r, af, ag, dot_both.
    replace (dot (fun i => vxf (fst' G) i + vxg (snd' G) i) d)
      with (dot (vxf (fst' G)) d + dot (vxg (snd' G)) d); [lra |].
    unfold dot; rewrite <- sum_plus; apply sum_ext; intros; lra.
  - intros eps he.
    destruct (hf (eps / 2) ltac:(lra)) as [d1 [d1p h1]].
    destruct (hg (eps / 2) ltac:(lra)) as [d2 [d2p h2]].
    exists (Rmin d1 d2); split; [now apply Rmin_pos |]; intros e d small.
    assert (n1 := norm_fst e); assert (n2 := norm_snd e).
    assert (ne := norm_pos e); assert (nd := norm_pos d).
    assert (m1 := Rmin_l d1 d2); assert (m2 := Rmin_r d1 d2).
    assert (a := h1 (fst' e) d ltac:(lra)); assert (b := h2 (snd' e) d ltac:(lra)).
    change (fst' (along w 1 e)) with (along (fst' w) 1 (fst' e)).
    change (snd' (along w 1 e)) with (along (snd' w) 1 (snd' e)).
    replace (vsub _ _) with (both
      (vsub (vsub (f (along (fst' w) 1 (fst' e)) (along x 1 d)) (f (fst' w) x)) (lf (fst' e) d))
      (vsub (vsub (g (along (snd' w) 1 (snd' e)) (along x 1 d)) (g (snd' w) x)) (lg (snd' e) d)))
      by (extensionality p; now destruct p).
    eapply Rle_trans; [apply norm_both |]; nra.
Qed.

(** Chain rule with the loss: gradients in the weights and in the input. *)
Lemma loss_gradients {P I K} `{Finite P} `{Finite I} `{Finite K}
    (f : (P -> R) -> (I -> R) -> (K -> R)) w x vw vx (loss : (K -> R) -> R) G :
  is_vjp2 f w x vw vx -> is_fgrad loss (f w x) G ->
  is_fgrad (fun w => loss (f w x)) w (vw G) /\ is_fgrad (fun x => loss (f w x)) x (vx G).
Proof.
  intros [l [C [pC [bd [adj h]]]]] hl.
  assert (key : forall eps, 0 < eps -> exists delta, 0 < delta /\ forall e d,
    norm e + norm d < delta ->
    Rabs (loss (f (along w 1 e) (along x 1 d)) - loss (f w x) - (dot (vw G) e + dot (vx G) d))
    <= eps * (norm e + norm d)).
  { intros eps he; assert (nG := norm_pos G).
    set (e1 := Rmin 1 (eps / (2 * (norm G + 1)))).
    assert (e1p : 0 < e1) by (apply Rmin_pos; [lra | apply Rdiv_lt_0_compat; lra]).
    destruct (h e1 e1p) as [d1 [d1p h1]].
    destruct (hl (eps / (2 * (C + 1)))) as [d2 [d2p h2]]; [apply Rdiv_lt_0_compat; lra |].
    exists (Rmin d1 (d2 / (C + 1))).
    split; [apply Rmin_pos; auto; apply Rdiv_lt_0_compat; lra |].
    intros e d small.
    assert (m1 := Rmin_l d1 (d2 / (C + 1))); assert (m2 := Rmin_r d1 (d2 / (C + 1))).
    assert (one : e1 <= 1) by apply Rmin_l.
    assert (half : e1 <= eps / (2 * (norm G + 1))) by apply Rmin_r.
    specialize (h1 e d ltac:(lra)); specialize (bd e d).
    assert (ne := norm_pos e); assert (nd := norm_pos d).
    set (s := norm e + norm d) in *; assert (sp : 0 <= s) by (unfold s; lra).
    set (Y := f w x) in *; set (Y' := f (along w 1 e) (along x 1 d)) in *.
    set (r := vsub (vsub Y' Y) (l e d)) in *.
    assert (dy : vsub Y' Y = along (l e d) 1 r)
      by (extensionality k; unfold along, r, vsub; lra).
    assert (hY : norm (vsub Y' Y) <= (C + 1) * s)
      by (rewrite dy; eapply Rle_trans; [apply norm_triangle |]; nra).
    assert (s2 : (C + 1) * s < d2).
    { apply Rlt_le_trans with (r2 := (C + 1) * (d2 / (C + 1))).
      - apply Rmult_lt_compat_l; lra.
      - apply Req_le; field; lra. }
    specialize (h2 (vsub Y' Y) ltac:(lra)).
    replace (along Y 1 (vsub Y' Y)) with Y' in h2
      by (extensionality k; unfold along, vsub; lra).
    rewrite <- adj.
    replace (dot G (vsub Y' Y)) with (dot G (l e d) + dot G r) in h2
      by (rewrite dy, dot_along_r; lra).
    assert (gr : Rabs (dot G r) <= eps / 2 * s).
    { assert (a := cauchy_schwarz G r); assert (b := cauchy_schwarz G (fun k => -1 * r k)).
      rewrite dot_scal_r, norm_scal, (Rabs_left (-1)) in b by lra.
      apply Rle_trans with (norm G * norm r); [apply Rabs_le; lra |].
      apply Rle_trans with ((norm G + 1) * (eps / (2 * (norm G + 1)) * s)).
      - apply Rmult_le_compat; auto using norm_pos; [lra |].
        eapply Rle_trans; [exact h1 | now apply Rmult_le_compat_r].
      - apply Req_le; field; lra. }
    assert (hg : eps / (2 * (C + 1)) * norm (vsub Y' Y) <= eps / 2 * s).
    { replace (eps / 2 * s) with (eps / (2 * (C + 1)) * ((C + 1) * s)) by (field; lra).
      apply Rmult_le_compat_l; auto; apply Rlt_le, Rdiv_lt_0_compat; lra. }
    replace (loss Y' - loss Y - dot G (l e d))
      with ((loss Y' - loss Y - (dot G (l e d) + dot G r)) + dot G r) by lra.
    eapply Rle_trans; [apply Rabs_triang |]; lra. }
  assert (z : forall {T} `{Finite T} (u : T -> R), dot u zero = 0).
  { intros T fT u; unfold dot, zero; rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra. }
  assert (al : forall {T} (u : T -> R), along u 1 zero = u)
    by (intros T u; extensionality i; unfold along, zero; lra).
  split; intros eps he; destruct (key eps he) as [delta [dp hd]]; exists delta; split; auto.
  - intros e small; specialize (hd e zero); rewrite norm_zero, z, al, !Rplus_0_r in hd; auto.
  - intros d small; specialize (hd zero d); rewrite norm_zero, z, al, !Rplus_0_l in hd; auto.
Qed.

