(** A small calculus of differentials, in which every backward formula of core/derived is checked: constants, coordinates,
    sums, products and functions of one variable; then from the outputs one by one to a vector-Jacobian product, row by row,
    and one map after the other. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet Maps.
Open Scope R_scope.

(** [l] is the Frechet differential of the number L at x. *)
Definition is_diff {I} `{Finite I} (L : (I -> R) -> R) x (l : (I -> R) -> R) : Prop :=
  (exists g, forall d, l d = dot g d) /\
  forall eps, 0 < eps -> exists delta, 0 < delta /\ forall d, norm d < delta ->
    Rabs (L (along x 1 d) - L x - l d) <= eps * norm d.

Lemma dot_le {I} `{Finite I} (g d : I -> R) : Rabs (dot g d) <= norm g * norm d.
Proof.
  assert (a := cauchy_schwarz g d); assert (b := cauchy_schwarz g (fun i => -1 * d i)).
  rewrite dot_scal_r, norm_scal, (Rabs_left (-1)) in b by lra; apply Rabs_le; lra.
Qed.

Section Rules.
  Context {I : Type} `{Finite I}.
  Implicit Types (L M : (I -> R) -> R) (x d : I -> R).

  Lemma diff_grad L x g : is_diff L x (dot g) <-> is_fgrad L x g.
  Proof. split; [intros [_ h]; exact h | intros h; split; [now exists g | exact h]]. Qed.

  Lemma diff_ext L M x l m : (forall y, L y = M y) -> (forall d, l d = m d) -> is_diff L x l -> is_diff M x m.
  Proof.
    intros e f [[g hg] h]; split.
    - exists g; intros d; now rewrite <- f.
    - intros eps he; destruct (h eps he) as [delta [dp hd]]; exists delta; split; auto.
      intros d sd; rewrite <- !e, <- f; auto.
  Qed.

  Lemma diff_const a x : is_diff (fun _ => a) x (fun _ => 0).
  Proof.
    split.
    - exists zero; intros d; unfold dot, zero; rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra.
    - intros eps he; exists 1; split; [lra |]; intros d _; rewrite Rminus_0_r.
      replace (a - a) with 0 by lra; rewrite Rabs_R0; apply Rmult_le_pos; [lra | apply norm_pos].
  Qed.

  Lemma diff_coord i x : is_diff (fun x => x i) x (fun d => d i).
  Proof.
    split.
    - exists (basis i); intros d; now rewrite dot_comm, dot_basis.
    - intros eps he; exists 1; split; [lra |]; intros d _; unfold along.
      replace (x i + 1 * d i - x i - d i) with 0 by lra; rewrite Rabs_R0.
      apply Rmult_le_pos; [lra | apply norm_pos].
  Qed.

  Lemma diff_plus L M x l m : is_diff L x l -> is_diff M x m ->
    is_diff (fun x => L x + M x) x (fun d => l d + m d).
  Proof.
    intros [[g hg] h] [[g' hg'] h']; split.
    - exists (along g 1 g'); intros d; now rewrite hg, hg', dot_along_l, Rmult_1_l.
    - intros eps he; destruct (h (eps / 2) ltac:(lra)) as [a [ap ha]].
      destruct (h' (eps / 2) ltac:(lra)) as [b [bp hb]].
      exists (Rmin a b); split; [now apply Rmin_pos |]; intros d sd.
      assert (m1 := Rmin_l a b); assert (m2 := Rmin_r a b).
      specialize (ha d ltac:(lra)); specialize (hb d ltac:(lra)).
      replace (L (along x 1 d) + M (along x 1 d) - (L x + M x) - (l d + m d))
        with ((L (along x 1 d) - L x - l d) + (M (along x 1 d) - M x - m d)) by lra.
      eapply Rle_trans; [apply Rabs_triang |]; lra.
  Qed.

  (** The chain rule with a function of one variable. *)
  Lemma diff_comp (f : R -> R) f' L x l : is_diff L x l -> derivable_pt_lim f (L x) f' ->
    is_diff (fun x => f (L x)) x (fun d => f' * l d).
  Proof.
    intros [[g hg] h] df; split.
    - exists (fun i => f' * g i); intros d; rewrite hg, (dot_comm (fun i => f' * g i)), dot_scal_r, dot_comm; auto.
    - intros eps he; assert (ng := norm_pos g); assert (nf := Rabs_pos f').
      set (c := norm g + 1).
      destruct (df (eps / (2 * c))) as [a ha]; [apply Rdiv_lt_0_compat; unfold c; lra |].
      set (e2 := Rmin 1 (eps / (2 * (Rabs f' + 1)))).
      assert (e2p : 0 < e2) by (apply Rmin_pos; [lra | apply Rdiv_lt_0_compat; lra]).
      assert (one : e2 <= 1) by apply Rmin_l.
      assert (half : e2 <= eps / (2 * (Rabs f' + 1))) by apply Rmin_r.
      destruct (h e2 e2p) as [b [bp hb]].
      assert (ap := cond_pos a).
      exists (Rmin b (a / c)); split; [apply Rmin_pos; auto; apply Rdiv_lt_0_compat; unfold c; lra |].
      intros d sd; assert (m1 := Rmin_l b (a / c)); assert (m2 := Rmin_r b (a / c)).
      assert (nd := norm_pos d).
      specialize (hb d ltac:(lra)); set (k := L (along x 1 d) - L x) in *.
      assert (ld : Rabs (l d) <= norm g * norm d) by (rewrite hg; apply dot_le).
      assert (kd : Rabs k <= c * norm d).
      { replace k with ((k - l d) + l d) by lra; eapply Rle_trans; [apply Rabs_triang |]; unfold c; nra. }
      assert (rest : Rabs (f (L x + k) - f (L x) - f' * k) <= eps / (2 * c) * Rabs k).
      { destruct (Req_dec k 0) as [z | nz].
        - rewrite z, Rplus_0_r, Rmult_0_r.
          replace (f (L x) - f (L x) - 0) with 0 by lra; rewrite Rabs_R0; lra.
        - assert (ka : Rabs k < a).
          { apply Rle_lt_trans with (1 := kd).
            apply Rlt_le_trans with (c * (a / c)); [apply Rmult_lt_compat_l; unfold c in *; lra |].
            apply Req_le; field; unfold c; lra. }
          specialize (ha k nz ka).
          replace (f (L x + k) - f (L x) - f' * k) with (((f (L x + k) - f (L x)) / k - f') * k)
            by (field; auto).
          rewrite Rabs_mult; apply Rmult_le_compat_r; [apply Rabs_pos | lra]. }
      replace (f (L (along x 1 d))) with (f (L x + k)) by (unfold k; f_equal; lra).
      replace (f (L x + k) - f (L x) - f' * l d)
        with ((f (L x + k) - f (L x) - f' * k) + f' * (k - l d)) by lra.
      eapply Rle_trans; [apply Rabs_triang |]; rewrite Rabs_mult.
      assert (s1 : eps / (2 * c) * Rabs k <= eps / 2 * norm d).
      { replace (eps / 2 * norm d) with (eps / (2 * c) * (c * norm d)) by (field; unfold c; lra).
        apply Rmult_le_compat_l; auto; apply Rlt_le, Rdiv_lt_0_compat; unfold c; lra. }
      assert (s2 : Rabs f' * Rabs (k - l d) <= eps / 2 * norm d).
      { apply Rle_trans with ((Rabs f' + 1) * (eps / (2 * (Rabs f' + 1)) * norm d)).
        - apply Rmult_le_compat; auto using Rabs_pos; [lra |].
          eapply Rle_trans; [exact hb | now apply Rmult_le_compat_r].
        - apply Req_le; field; lra. }
      lra.
  Qed.

  Lemma diff_scal a L x l : is_diff L x l -> is_diff (fun x => a * L x) x (fun d => a * l d).
  Proof.
    intros h; apply (diff_comp (fun t => a * t) a L x l h).
    assert (e := derivable_pt_lim_scal (fun t => t) a (L x) 1 (derivable_pt_lim_id _)).
    rewrite Rmult_1_r in e; exact e.
  Qed.

  Lemma diff_minus L M x l m : is_diff L x l -> is_diff M x m ->
    is_diff (fun x => L x - M x) x (fun d => l d - m d).
  Proof.
    intros h k; apply (diff_ext (fun x => L x + -1 * M x) _ x (fun d => l d + -1 * m d)); try (intros; lra).
    apply diff_plus; auto; now apply diff_scal.
  Qed.

  (** A product is a difference of squares: ab = ((a + b)^2 - (a - b)^2)/4. *)
  Lemma diff_mult L M x l m : is_diff L x l -> is_diff M x m ->
    is_diff (fun x => L x * M x) x (fun d => l d * M x + L x * m d).
  Proof.
    intros h k.
    assert (sq : forall N n, is_diff N x n -> is_diff (fun x => N x * N x) x (fun d => 2 * N x * n d)).
    { intros N n hn; apply (diff_comp (fun t => t * t) (2 * N x) N x n hn).
      replace (2 * N x) with (1 * N x + N x * 1) by lra.
      apply (derivable_pt_lim_mult (fun t => t) (fun t => t)); apply derivable_pt_lim_id. }
    assert (p := sq _ _ (diff_plus _ _ _ _ _ h k)); assert (q := sq _ _ (diff_minus _ _ _ _ _ h k)).
    refine (diff_ext _ _ _ _ _ _ _ (diff_scal (/ 4) _ _ _ (diff_minus _ _ _ _ _ p q)));
      intros; simpl; field.
  Qed.

  Lemma diff_sum {K} `{Finite K} (L : K -> (I -> R) -> R) x (l : K -> (I -> R) -> R) :
    (forall k, is_diff (L k) x (l k)) -> is_diff (fun x => sum (fun k => L k x)) x (fun d => sum (fun k => l k d)).
  Proof.
    intros h; unfold sum; induction (enum K) as [| k ks IH]; simpl; [apply diff_const | now apply diff_plus].
  Qed.

  Lemma diff_opp L x l : is_diff L x l -> is_diff (fun x => - L x) x (fun d => - l d).
  Proof. intros h; refine (diff_ext _ _ _ _ _ _ _ (diff_scal (-1) _ _ _ h)); intros; lra. Qed.

  Lemma diff_exp L x l : is_diff L x l -> is_diff (fun x => exp (L x)) x (fun d => exp (L x) * l d).
  Proof. intros h; apply (diff_comp exp); auto; apply derivable_pt_lim_exp. Qed.

  Lemma diff_ln L x l : 0 < L x -> is_diff L x l -> is_diff (fun x => ln (L x)) x (fun d => / L x * l d).
  Proof. intros p h; apply (diff_comp ln); auto; now apply derivable_pt_lim_ln. Qed.

  Lemma derivable_inv t : t <> 0 -> derivable_pt_lim (fun t => / t) t (- (/ t * / t)).
  Proof.
    intros nz.
    replace (- (/ t * / t)) with ((0 * t - 1 * 1) / Rsqr t) by (unfold Rsqr; field; auto).
    assert (h := derivable_pt_lim_div (fun _ => 1) (fun t => t) t 0 1 (derivable_pt_lim_const 1 t)
                   (derivable_pt_lim_id t) nz).
    replace (fun t => / t) with ((fun _ => 1) / (fun t => t))%F; auto.
    extensionality u; unfold div_fct, Rdiv; lra.
  Qed.
  Lemma diff_inv L x l : L x <> 0 -> is_diff L x l ->
    is_diff (fun x => / L x) x (fun d => - (/ L x * / L x) * l d).
  Proof. intros p h; apply (diff_comp (fun t => / t)); auto; now apply derivable_inv. Qed.

  Lemma diff_div L M x l m : M x <> 0 -> is_diff L x l -> is_diff M x m ->
    is_diff (fun x => L x / M x) x (fun d => (l d - L x / M x * m d) / M x).
  Proof.
    intros p h k; refine (diff_ext _ _ _ _ _ _ _ (diff_mult _ _ _ _ _ h (diff_inv _ _ _ p k)));
      intros; simpl; [reflexivity | field; auto].
  Qed.

  (** 1/sqrt *)
  Lemma diff_inverse_root L x l : 0 < L x -> is_diff L x l ->
    is_diff (fun x => / sqrt (L x)) x
      (fun d => - (/ sqrt (L x) * / sqrt (L x) * / sqrt (L x)) / 2 * l d).
  Proof.
    intros p h; assert (s := sqrt_lt_R0 _ p).
    refine (diff_ext _ _ _ _ _ _ _ (diff_inv (fun x => sqrt (L x)) x _ _
      (diff_comp sqrt _ L x l h (derivable_pt_lim_sqrt _ p)))); intros; simpl; [reflexivity | field | ]; lra.
  Qed.
End Rules.

(** ** From the outputs, one by one, to the whole map *)
Section Components.
  Context {I K : Type} `{Finite I} `{Finite K}.

  Theorem vjp_of_components (f : (I -> R) -> (K -> R)) x (l : K -> (I -> R) -> R) (v : (K -> R) -> (I -> R)) :
    (forall k, is_diff (fun x => f x k) x (l k)) ->
    (forall G d, sum (fun k => G k * l k d) = dot (v G) d) ->
    is_vjp f x v.
  Proof.
    intros h adj.
    assert (bd : exists C, 0 <= C /\ forall d, norm (fun k => l k d) <= C * norm d).
    { assert (each : forall ks, exists C, 0 <= C /\ forall d,
        lsum ks (fun k => l k d * l k d) <= C * (norm d * norm d)).
      { induction ks as [| k ks [C [cp hC]]]; simpl; [exists 0; split; intros; lra |].
        destruct (h k) as [[g hg] _]; exists (norm g * norm g + C).
        assert (ng := norm_pos g); split; [nra |]; intros d.
        assert (a := dot_le g d); rewrite <- hg in a; specialize (hC d); assert (nd := norm_pos d).
        assert (b : l k d * l k d <= norm g * norm d * (norm g * norm d)).
        { rewrite <- (Rabs_pos_eq (norm g * norm d)) in a by (apply Rmult_le_pos; auto).
          apply Rsqr_le_abs_1 in a; exact a. }
        lra. }
      destruct (each (enum K)) as [C [cp hC]]; exists (sqrt C); split; [apply sqrt_pos |]; intros d.
      apply norm_le_sqr; [apply Rmult_le_pos; [apply sqrt_pos | apply norm_pos] |].
      replace (sqrt C * norm d * (sqrt C * norm d)) with (sqrt C * sqrt C * (norm d * norm d)) by lra.
      rewrite sqrt_sqrt by auto; apply hC. }
    destruct bd as [C [cp hC]].
    exists (fun d k => l k d), C; split; auto; split; auto; split; [exact adj |].
    intros eps he; set (n := sum (fun _ : K => 1)).
    assert (np : 0 <= n) by (apply sum_nonneg; intros; lra).
    set (e := eps / (n + 1)); assert (ep : 0 < e) by (apply Rdiv_lt_0_compat; lra).
    destruct (uniform_delta (fun k delta => forall d, norm d < delta ->
      Rabs (f (along x 1 d) k - f x k - l k d) <= e * norm d)) as [delta [dp hd]].
    - intros k a b [_ ab] q d hh; apply q; lra.
    - intros k; destruct (h k) as [_ hk]; apply (hk e ep).
    - exists delta; split; auto; intros d small; assert (nd := norm_pos d).
      apply norm_le_sqr; [apply Rmult_le_pos; lra |].
      apply Rle_trans with (sum (fun _ : K => e * norm d * (e * norm d) * 1)).
      + apply sum_le; intros k; unfold vsub; rewrite Rmult_1_r.
        assert (a := hd k d small).
        rewrite <- (Rabs_pos_eq (e * norm d)) in a by (apply Rmult_le_pos; lra).
        apply Rsqr_le_abs_1 in a; exact a.
      + rewrite sum_scal; fold n.
        assert (q : e * e * n <= eps * eps).
        { replace (eps * eps) with (e * e * ((n + 1) * (n + 1))) by (unfold e; field; lra).
          apply Rmult_le_compat_l; nra. }
        assert (0 <= norm d * norm d) by nra; nra.
  Qed.

  Lemma vjp_row (f : (I -> R) -> (K -> R)) x v : is_vjp f x v -> forall k,
    is_diff (fun x => f x k) x (dot (v (basis k))).
  Proof.
    intros [l [C [cp [bd [adj h]]]]] k.
    assert (e : forall d, dot (v (basis k)) d = l d k)
      by (intros d; now rewrite <- adj, dot_comm, dot_basis).
    split; [now exists (v (basis k)) |].
    intros eps he; destruct (h eps he) as [delta [dp hd]]; exists delta; split; auto; intros d small.
    rewrite e; eapply Rle_trans; [| now apply hd].
    exact (entry_le_norm (vsub (vsub (f (along x 1 d)) (f x)) (l d)) k).
  Qed.

  (** A transposed derivative is linear. *)
  Lemma vjp_sum (f : (I -> R) -> (K -> R)) x v : is_vjp f x v -> forall G d,
    sum (fun k => G k * dot (v (basis k)) d) = dot (v G) d.
  Proof.
    intros [l [C [cp [bd [adj h]]]]] G d; rewrite <- adj; apply sum_ext; intros k.
    now rewrite <- adj, (dot_comm (basis k)), dot_basis.
  Qed.

  Lemma vjp_ext (f f' : (I -> R) -> (K -> R)) x v v' :
    (forall x k, f x k = f' x k) -> (forall G i, v G i = v' G i) -> is_vjp f x v -> is_vjp f' x v'.
  Proof.
    intros e ev h; replace f' with f; [replace v' with v; auto |].
    - extensionality G; extensionality i; auto.
    - extensionality y; extensionality k; auto.
  Qed.
End Components.

(** ** Composition, from the rules for layers with weights *)
Definition none : Empty_set -> R := fun e => match e with end.
Lemma vjp_to_2 {I K} `{Finite I} `{Finite K} (f : (I -> R) -> (K -> R)) x v (w : Empty_set -> R) :
  is_vjp f x v -> is_vjp2 (fun (_ : Empty_set -> R) x => f x) w x (fun _ => none) v.
Proof.
  intros [l [c [p [b [a h]]]]].
  assert (z : forall e : Empty_set -> R, norm e = 0) by (intros e; unfold norm; apply sqrt_0).
  exists (fun _ d => l d), c; split; auto; split; [| split].
  - intros e d; rewrite z, Rplus_0_l; auto.
  - intros G e d; rewrite a; unfold dot at 2; unfold sum; simpl; lra.
  - intros eps he; destruct (h eps he) as [delta [dp hd]]; exists delta; split; auto.
    intros e d; rewrite z, Rplus_0_l; auto.
Qed.

Lemma vjp_of_2 {P I K} `{Finite P} `{Finite I} `{Finite K} (f : (P -> R) -> (I -> R) -> (K -> R)) w x vw vx :
  is_vjp2 f w x vw vx -> is_vjp (f w) x vx.
Proof.
  intros [l [C [pC [bd [adj h]]]]].
  assert (z : forall u, dot u (zero (I := P)) = 0).
  { intros u; unfold dot, zero; rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra. }
  exists (l zero), C; split; auto; split; [| split].
  - intros d; specialize (bd zero d); now rewrite norm_zero, Rplus_0_l in bd.
  - intros G d; rewrite adj, z; lra.
  - intros eps he; destruct (h eps he) as [delta [dp hd]]; exists delta; split; auto; intros d small.
    specialize (hd zero d); rewrite norm_zero, !Rplus_0_l in hd.
    replace (along w 1 zero) with w in hd by (extensionality i; unfold along, zero; lra); auto.
Qed.

Section Composition.
  Context {I J K : Type} `{Finite I} `{Finite J} `{Finite K}.

  (** [andThen]: the transposes in reverse order. *)
  Theorem vjp_andThen (f : (I -> R) -> (J -> R)) (g : (J -> R) -> (K -> R)) x vf vg :
    is_vjp f x vf -> is_vjp g (f x) vg -> is_vjp (fun x => g (f x)) x (fun G => vf (vg G)).
  Proof.
    intros hf hg.
    exact (vjp_of_2 _ _ _ _ _ (vjp_seq (fun _ x => f x) (fun _ y => g y)
      (fun e : Empty_set + Empty_set => match e with inl a | inr a => match a with end end) x _ _ _ _
      (vjp_to_2 f x vf _ hf) (vjp_to_2 g (f x) vg _ hg))).
  Qed.

  (** [fork]: the gradients of the branches are added. *)
  Theorem vjp_fork1 (f : (I -> R) -> (J -> R)) (g : (I -> R) -> (K -> R)) x vf vg :
    is_vjp f x vf -> is_vjp g x vg ->
    is_vjp (fun x => both (f x) (g x)) x (fun G i => vf (fst' G) i + vg (snd' G) i).
  Proof.
    intros hf hg.
    exact (vjp_of_2 _ _ _ _ _ (vjp_fork (fun _ x => f x) (fun _ x => g x)
      (fun e : Empty_set + Empty_set => match e with inl a | inr a => match a with end end) x _ _ _ _
      (vjp_to_2 f x vf _ hf) (vjp_to_2 g x vg _ hg))).
  Qed.
End Composition.

(** ** Row by row: a map of one row, applied to each row of a matrix. *)
Section Rows.
  Context {B C D : Type} `{Finite B} `{Finite C} `{Finite D}.
  Definition row {C' : Type} (X : B * C' -> R) (b : B) : C' -> R := fun c => X (b, c).
  Definition by_row (f : B -> (C -> R) -> (D -> R)) (X : B * C -> R) : B * D -> R :=
    fun p => f (fst p) (row X (fst p)) (snd p).
  Definition vjp_by_row (v : B -> (C -> R) -> (D -> R) -> (C -> R)) (X : B * C -> R) (G : B * D -> R) : B * C -> R :=
    fun p => v (fst p) (row X (fst p)) (row G (fst p)) (snd p).

  Theorem vjp_rows (f : B -> (C -> R) -> (D -> R)) v X :
    (forall b, is_vjp (f b) (row X b) (v b (row X b))) -> is_vjp (by_row f) X (vjp_by_row v X).
  Proof.
    intros h.
    assert (pick : forall b, is_vjp (fun X : B * C -> R => row X b) X
      (scatter_add (fun c => Some (b, c)))).
    { intros b; exact (vjp_gather_pad (fun c => Some (b, c)) X). }
    apply (vjp_of_components _ _ (fun p d => dot (v (fst p) (row X (fst p)) (basis (snd p))) (row d (fst p)))).
    - intros [b k]; unfold by_row; cbn [fst snd].
      assert (c := vjp_row _ _ _ (vjp_andThen _ _ _ _ _ (pick b) (h b)) k).
      refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _ c); intros d; simpl.
      destruct (pick b) as [l [_ [_ [_ [adj _]]]]].
      set (u := v b (row X b) (basis k)).
      transitivity (sum (fun c' => u c' * d (b, c'))); [| reflexivity].
      unfold dot at 1, scatter_add; rewrite sum_prod.
      rewrite <- (sum_pick b (fun b' => sum (fun c' => u c' * d (b', c')))).
      apply sum_ext; intros b'; destruct (fin_dec b b') as [<- | nb].
      + apply sum_ext; intros c'; f_equal.
        rewrite <- (sum_pick c' (fun c => u c)); apply sum_ext; intros c0.
        destruct (fin_dec (b, c0) (b, c')) as [e1 | e1], (fin_dec c' c0) as [e2 | e2]; auto; exfalso; congruence.
      + rewrite (sum_ext _ (fun _ => 0)); [apply sum_0 |]; intros c'.
        rewrite (sum_ext _ (fun _ => 0)), sum_0; [lra |]; intros c0.
        destruct (fin_dec (b, c0) (b', c')) as [e1 | e1]; auto; exfalso; congruence.
    - intros G d; rewrite sum_prod; unfold dot at 2; rewrite sum_prod; apply sum_ext; intros b; cbn [fst snd].
      exact (vjp_sum _ _ _ (h b) (row G b) (row d b)).
  Qed.
End Rows.

(** Two arguments of a map, side by side in one vector. *)
Lemma vjp_pair {P I K} `{Finite P} `{Finite I} `{Finite K} (f : (P -> R) -> (I -> R) -> (K -> R)) z vw vx :
  is_vjp2 f (fst' z) (snd' z) vw vx -> is_vjp (fun z => f (fst' z) (snd' z)) z (fun G => both (vw G) (vx G)).
Proof.
  intros [l [C [pC [bd [adj h]]]]].
  exists (fun d => l (fst' d) (snd' d)), (2 * C); split; [lra |]; split; [| split].
  - intros d; assert (a := norm_fst d); assert (b := norm_snd d).
    eapply Rle_trans; [apply bd |]; nra.
  - intros G d; now rewrite dot_both.
  - intros eps he; destruct (h (eps / 2) ltac:(lra)) as [delta [dp hd]]; exists (delta / 2); split; [lra |].
    intros d small; assert (a := norm_fst d); assert (b := norm_snd d).
    eapply Rle_trans; [apply (hd (fst' d) (snd' d)); lra |].
    assert (p := norm_pos d); nra.
Qed.
