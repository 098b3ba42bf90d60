(** spec/tolerance.ts, core/error-bound.ts: how far an f32 dot product may lie from the real one, added up in any order,
    with or without fused multiply-add, rounding to nearest with any rule for ties, gradual underflow included; no
    overflow assumed.

    Intuition: every rounding errs by at most a share u = 2^-24 of what it rounds, and K roundings in a row by gamma_K.
    Near 0 floats are evenly spaced: there a product errs by at most half the spacing, 2^-150, but a sum of two floats is
    exact, so the order of the sum cannot make it worse. *)
From Coq Require Import List Permutation ZArith Reals Lra Lia.
From Flocq Require Import Core Relative Plus_error.
From PaCA Require Import Finite Reduction Gradient.
Import ListNotations.
Open Scope R_scope.

Section F32.
  Variable choice : Z -> bool.
  Notation f32 := (FLT_exp (-149) 24).
  (** Rounding to f32: 24 bits, least exponent -149, no largest one. *)
  Definition fl (x : R) : R := round radix2 f32 (Znearest choice) x.
  Definition roundoff : R := bpow radix2 (-24).
  Definition underflow : R := bpow radix2 (-150).
  Definition is_f32 (x : R) : Prop := generic_format radix2 f32 x.
  (** gamma_n = n u / (1 - n u). *)
  Definition gamma (n : nat) : R := INR n * roundoff / (1 - INR n * roundoff).

  Local Instance prec_pos : Prec_gt_0 24. Proof. reflexivity. Qed.
  Local Instance valid : Valid_exp f32. Proof. apply FLT_exp_valid; reflexivity. Qed.

  Lemma fl_f32 x : is_f32 (fl x).
  Proof. apply generic_format_round; [exact valid | apply valid_rnd_N]. Qed.

  (** The model of a single rounding. *)
  Theorem rounding_error x : Rabs (fl x - x) <= roundoff * Rabs x \/ Rabs (fl x - x) <= underflow.
  Proof.
    destruct (error_N_FLT radix2 (-149) 24 eq_refl choice x) as [eps [eta [he [ht [z e]]]]].
    unfold fl; rewrite e; apply Rmult_integral in z; destruct z as [-> | ->].
    - right; replace (x * (1 + 0) + eta - x) with eta by lra; unfold underflow.
      replace (bpow radix2 (-150)) with (/ 2 * bpow radix2 (-149)); auto.
      change (-150)%Z with (-149 - 1)%Z; unfold Zminus; rewrite bpow_plus; simpl bpow at 3; lra.
    - left; replace (x * (1 + eps) + 0 - x) with (eps * x) by lra; rewrite Rabs_mult.
      apply Rmult_le_compat_r; [apply Rabs_pos |]; unfold roundoff.
      replace (bpow radix2 (-24)) with (/ 2 * bpow radix2 (-24 + 1)); auto.
      rewrite bpow_plus; simpl bpow at 2; lra.
  Qed.

  Lemma small_rounding x : Rabs x < bpow radix2 (-125) -> Rabs (fl x - x) <= underflow.
  Proof.
    intros h; eapply Rle_trans; [apply error_le_half_ulp; exact valid |].
    rewrite (ulp_FLT_small radix2 (-149) 24 x) by exact h.
    unfold underflow; change (-150)%Z with (-149 + -1)%Z; rewrite bpow_plus; simpl bpow at 3; lra.
  Qed.

  (** A small sum of two floats is a float. *)
  Lemma small_sum_exact x y : is_f32 x -> is_f32 y -> Rabs (x + y) <= bpow radix2 (-125) -> fl (x + y) = x + y.
  Proof.
    intros fx fy h; apply round_generic; [apply valid_rnd_N |].
    now apply (FLT_format_plus_small radix2 (-149) 24 x y).
  Qed.

  (** Sums of two floats never underflow: the error is relative. *)
  Theorem addition_error x y : is_f32 x -> is_f32 y -> Rabs (fl (x + y) - (x + y)) <= roundoff * Rabs (x + y).
  Proof.
    intros fx fy; assert (u : 0 < roundoff) by apply bpow_gt_0.
    destruct (Rle_dec (Rabs (x + y)) (bpow radix2 (-125))) as [s | s].
    - rewrite small_sum_exact by auto; replace (x + y - (x + y)) with 0 by lra; rewrite Rabs_R0.
      apply Rmult_le_pos; [lra | apply Rabs_pos].
    - destruct (rounding_error (x + y)) as [h | h]; auto.
      eapply Rle_trans; [exact h |].
      apply Rle_trans with (roundoff * bpow radix2 (-125)); [| apply Rmult_le_compat_l; lra].
      unfold roundoff, underflow; rewrite <- bpow_plus; apply bpow_le; lia.
  Qed.

  (** One product: relative, or absolute near 0; so both together bound it, as [mul] of error-bound.ts has it. *)
  Theorem product_error x y : Rabs (fl (x * y) - x * y) <= roundoff * Rabs (x * y) + underflow.
  Proof.
    assert (a : 0 < underflow) by apply bpow_gt_0.
    assert (b : 0 <= roundoff * Rabs (x * y)) by (apply Rmult_le_pos; [apply bpow_ge_0 | apply Rabs_pos]).
    destruct (rounding_error (x * y)); lra.
  Qed.

  (** ** gamma *)
  Lemma roundoff_pos : 0 < roundoff. Proof. apply bpow_gt_0. Qed.
  Lemma underflow_is : underflow = roundoff * bpow radix2 (-126).
  Proof. unfold roundoff, underflow; now rewrite <- bpow_plus. Qed.

  Lemma gamma_nonneg n : INR n * roundoff < 1 -> 0 <= gamma n.
  Proof.
    intros h; assert (p := pos_INR n); assert (u := roundoff_pos).
    apply Rmult_le_pos; [nra | apply Rlt_le, Rinv_0_lt_compat; lra].
  Qed.

  (** One more rounding fits into the next gamma, with k u^2 to spare. *)
  Lemma gamma_step a k : (a + 1 <= k)%nat -> INR k * roundoff < 1 ->
    gamma a + roundoff * (1 + gamma a) + INR k * (roundoff * roundoff) <= gamma k.
  Proof.
    intros ak hk; assert (u := roundoff_pos); assert (pa := pos_INR a); unfold gamma; set (r := roundoff) in *.
    apply le_INR in ak; rewrite plus_INR in ak; simpl in ak.
    set (x := INR a) in *; set (y := INR k) in *.
    assert (d1 : 0 < 1 - x * r) by nra. assert (d2 : 0 < 1 - y * r) by lra.
    assert (xr : 0 <= x * r) by (apply Rmult_le_pos; lra).
    assert (yr : 0 <= y * r) by (apply Rmult_le_pos; lra).
    assert (p : (1 - x * r) * (1 - y * r) <= 1) by nra.
    assert (pp : 0 < (1 - x * r) * (1 - y * r)) by now apply Rmult_lt_0_compat.
    apply Rmult_le_reg_r with ((1 - x * r) * (1 - y * r)); auto.
    replace ((x * r / (1 - x * r) + r * (1 + x * r / (1 - x * r)) + y * (r * r)) * ((1 - x * r) * (1 - y * r)))
      with ((x + 1) * r * (1 - y * r) + y * (r * r) * ((1 - x * r) * (1 - y * r))) by (field; lra).
    replace (y * r / (1 - y * r) * ((1 - x * r) * (1 - y * r))) with (y * r * (1 - x * r)) by (field; lra).
    assert (q : y * (r * r) * ((1 - x * r) * (1 - y * r)) <= y * (r * r) * 1).
    { apply Rmult_le_compat_l; auto; apply Rmult_le_pos; nra. }
    assert (more : 0 <= (y - (x + 1)) * r) by (apply Rmult_le_pos; lra).
    replace (y * r * (1 - x * r)) with ((x + 1) * r * (1 - y * r) + (y - (x + 1)) * r + y * (r * r)) by ring.
    lra.
  Qed.

  Lemma gamma_more a k : (a <= k)%nat -> INR k * roundoff < 1 -> gamma a <= gamma k.
  Proof.
    intros ak hk; destruct (Nat.eq_dec a k) as [-> | n]; [lra |].
    assert (h := gamma_step a k ltac:(lia) hk); assert (u := roundoff_pos); assert (p := pos_INR k).
    assert (ga : 0 <= gamma a) by (apply gamma_nonneg; assert (le := le_INR _ _ ak); nra).
    assert (0 <= INR k * (roundoff * roundoff)) by nra; nra.
  Qed.

  Lemma gamma_above_u k : (1 <= k)%nat -> INR k * roundoff < 1 -> roundoff <= gamma k.
  Proof.
    intros hk s; assert (h := gamma_step 0 k ltac:(lia) s); assert (u := roundoff_pos); assert (p := pos_INR k).
    unfold gamma at 1 2 in h; simpl in h; unfold Rdiv in h; rewrite !Rmult_0_l in h.
    assert (0 <= INR k * (roundoff * roundoff)) by nra; lra.
  Qed.

  (** ** Dot products *)
  Context {I : Type}.
  Variables x y : I -> R.

  (** How the products are added: any tree; [Fma t i] is fl(t + x i * y i), with one rounding; [Start] is a 0. *)
  Inductive dot_tree : Type :=
  | Start : dot_tree
  | Product : I -> dot_tree
  | Add : dot_tree -> dot_tree -> dot_tree
  | Fma : dot_tree -> I -> dot_tree.

  Fixpoint computed (t : dot_tree) : R :=
    match t with
    | Start => 0
    | Product i => fl (x i * y i)
    | Add l r => fl (computed l + computed r)
    | Fma t i => fl (computed t + x i * y i)
    end.
  Fixpoint products (t : dot_tree) : list I :=
    match t with
    | Start => []
    | Product i => [i]
    | Add l r => products l ++ products r
    | Fma t i => products t ++ [i]
    end.
  Definition exact (t : dot_tree) : R := lsum (products t) (fun i => x i * y i).
  Definition magnitude (t : dot_tree) : R := lsum (products t) (fun i => Rabs (x i * y i)).
  Definition count (t : dot_tree) : nat := length (products t).

  Lemma computed_f32 t : is_f32 (computed t).
  Proof. destruct t; simpl; [apply generic_format_0 | | |]; apply fl_f32. Qed.
  Lemma magnitude_nonneg t : 0 <= magnitude t.
  Proof. unfold magnitude; rewrite <- (lsum_0 (products t)); apply lsum_le; intros; apply Rabs_pos. Qed.
  Lemma exact_le t : Rabs (exact t) <= magnitude t.
  Proof.
    unfold exact, magnitude; induction (products t) as [| i l IH]; simpl; [rewrite Rabs_R0; lra |].
    eapply Rle_trans; [apply Rabs_triang | lra].
  Qed.
  Lemma empty_tree t : count t = 0%nat -> computed t = 0 /\ exact t = 0.
  Proof.
    unfold count, exact; induction t as [| i | l IHl r IHr | t IH i]; simpl; intros h; auto; try discriminate.
    - rewrite app_length in h; destruct IHl as [cl el], IHr as [cr er]; try lia.
      rewrite cl, cr, lsum_app, el, er, Rplus_0_r; split; auto.
      apply round_0; apply valid_rnd_N.
    - rewrite app_length in h; simpl in h; lia.
  Qed.

  Lemma count_small k : INR k * roundoff < 1 -> INR k * underflow < bpow radix2 (-126).
  Proof.
    intros h; rewrite underflow_is, <- Rmult_assoc; assert (p : 0 < bpow radix2 (-126)) by apply bpow_gt_0; nra.
  Qed.

  Lemma tree_error t : INR (count t) * roundoff < 1 ->
    Rabs (computed t - exact t) <= gamma (count t) * magnitude t + INR (count t) * underflow /\
    (magnitude t < bpow radix2 (-126) -> Rabs (computed t - exact t) <= INR (count t) * underflow).
  Proof.
    assert (u := roundoff_pos); assert (eta := bpow_gt_0 radix2 (-150)); fold underflow in eta.
    assert (two : bpow radix2 (-125) = bpow radix2 (-126) + bpow radix2 (-126)).
    { change (-125)%Z with (-126 + 1)%Z; rewrite bpow_plus; simpl bpow at 2; lra. }
    induction t as [| i | l IHl r IHr | t IH i]; intros hk.
    - change (computed Start) with 0; change (exact Start) with 0; change (magnitude Start) with 0.
      change (INR (count Start)) with 0; rewrite Rminus_0_r, Rabs_R0; split; intros; lra.
    - change (computed (Product i)) with (fl (x i * y i)); change (exact (Product i)) with (x i * y i + 0).
      change (magnitude (Product i)) with (Rabs (x i * y i) + 0); change (count (Product i)) with 1%nat in *.
      change (INR 1) with 1 in *; rewrite !Rplus_0_r, !Rmult_1_l in *.
      assert (g := gamma_above_u 1 (le_n _) ltac:(change (INR 1) with 1; lra)).
      assert (p := Rabs_pos (x i * y i)).
      split; [| intros s].
      + assert (h := product_error (x i) (y i)); nra.
      + destruct (rounding_error (x i * y i)) as [h | h]; auto.
        eapply Rle_trans; [exact h | rewrite underflow_is; apply Rmult_le_compat_l; lra].
    - assert (ml := magnitude_nonneg l); assert (mr := magnitude_nonneg r).
      assert (mm : magnitude (Add l r) = magnitude l + magnitude r) by (unfold magnitude; simpl; apply lsum_app).
      assert (ee : exact (Add l r) = exact l + exact r) by (unfold exact; simpl; apply lsum_app).
      assert (cc : count (Add l r) = (count l + count r)%nat) by (unfold count; simpl; apply app_length).
      set (a := count l) in *; set (b := count r) in *; rewrite cc, mm, ee in *; simpl computed.
      rewrite plus_INR in *; assert (pa := pos_INR a); assert (pb := pos_INR b).
      assert (ra : 0 <= INR a * roundoff) by (apply Rmult_le_pos; lra).
      assert (rb : 0 <= INR b * roundoff) by (apply Rmult_le_pos; lra).
      assert (hl := IHl ltac:(lra)); assert (hr := IHr ltac:(lra)); clear IHl IHr.
      destruct hl as [hl sl], hr as [hr sr].
      set (L := computed l) in *; set (R' := computed r) in *.
      assert (fL : is_f32 L) by apply computed_f32; assert (fR : is_f32 R') by apply computed_f32.
      assert (el := exact_le l); assert (er := exact_le r).
      assert (tri : Rabs (fl (L + R') - (exact l + exact r))
        <= Rabs (fl (L + R') - (L + R')) + (Rabs (L - exact l) + Rabs (R' - exact r))).
      { replace (fl (L + R') - (exact l + exact r))
          with ((fl (L + R') - (L + R')) + ((L - exact l) + (R' - exact r))) by lra.
        eapply Rle_trans; [apply Rabs_triang |]; apply Rplus_le_compat_l, Rabs_triang. }
      assert (size : Rabs (L + R') <= (magnitude l + magnitude r) + (Rabs (L - exact l) + Rabs (R' - exact r))).
      { replace (L + R') with ((exact l + exact r) + ((L - exact l) + (R' - exact r))) by lra.
        eapply Rle_trans; [apply Rabs_triang |]; apply Rplus_le_compat;
          (eapply Rle_trans; [apply Rabs_triang | lra]). }
      assert (kk : (INR a + INR b) * underflow < bpow radix2 (-126))
        by (rewrite <- plus_INR; apply count_small; rewrite plus_INR; lra).
      assert (small : magnitude l + magnitude r < bpow radix2 (-126) ->
                Rabs (fl (L + R') - (exact l + exact r)) <= (INR a + INR b) * underflow).
      { intros s; specialize (sl ltac:(lra)); specialize (sr ltac:(lra)).
        assert (z : fl (L + R') = L + R') by (apply small_sum_exact; auto; lra).
        rewrite z in *; replace (L + R' - (L + R')) with 0 in tri by lra; rewrite Rabs_R0 in tri; lra. }
      split; auto.
      destruct (Rlt_dec (magnitude l + magnitude r) (bpow radix2 (-126))) as [s | s].
      { assert (g := gamma_nonneg (a + b) ltac:(rewrite plus_INR; lra)); specialize (small s).
        assert (0 <= gamma (a + b) * (magnitude l + magnitude r)) by (apply Rmult_le_pos; lra); lra. }
      (* an empty side adds 0, and nothing is rounded *)
      destruct (Nat.eq_dec a 0) as [za | na].
      { destruct (empty_tree l za) as [cl xl]; fold L in cl; rewrite za, cl, xl in *.
        assert (z : fl (0 + R') = R') by (rewrite Rplus_0_l; apply round_generic; [apply valid_rnd_N | exact fR]).
        rewrite z; simpl; rewrite !Rplus_0_l; eapply Rle_trans; [exact hr |].
        assert (g := gamma_nonneg b ltac:(simpl in hk; lra)).
        apply Rplus_le_compat_r, Rmult_le_compat_l; lra. }
      destruct (Nat.eq_dec b 0) as [zb | nb].
      { destruct (empty_tree r zb) as [cr xr]; fold R' in cr; rewrite zb, cr, xr in *.
        assert (z : fl (L + 0) = L) by (rewrite Rplus_0_r; apply round_generic; [apply valid_rnd_N | exact fL]).
        rewrite z, Nat.add_0_r; simpl; rewrite !Rplus_0_r; eapply Rle_trans; [exact hl |].
        assert (g := gamma_nonneg a ltac:(simpl in hk; lra)).
        apply Rplus_le_compat_r, Rmult_le_compat_l; lra. }
      assert (err := addition_error L R' fL fR).
      assert (ga := gamma_step a (a + b) ltac:(lia) ltac:(rewrite plus_INR; lra)).
      assert (gb := gamma_step b (a + b) ltac:(lia) ltac:(rewrite plus_INR; lra)).
      rewrite plus_INR in ga, gb; set (g := gamma (a + b)) in *; set (k := INR a + INR b) in *.
      set (M := magnitude l + magnitude r) in *.
      assert (enough : roundoff * (k * underflow) <= k * (roundoff * roundoff) * M).
      { rewrite underflow_is; assert (kp : 0 <= k) by (unfold k; lra).
        replace (roundoff * (k * (roundoff * bpow radix2 (-126)))) with (k * (roundoff * roundoff) * bpow radix2 (-126)) by ring.
        apply Rmult_le_compat_l; [| lra]; apply Rmult_le_pos; auto; nra. }
      assert (e1 : Rabs (L - exact l) + Rabs (R' - exact r)
                   <= gamma a * magnitude l + gamma b * magnitude r + k * underflow) by (unfold k; lra).
      assert (e2 : Rabs (fl (L + R') - (L + R')) <= roundoff * (M + (Rabs (L - exact l) + Rabs (R' - exact r)))).
      { eapply Rle_trans; [exact err |]; apply Rmult_le_compat_l; lra. }
      assert (e3 : roundoff * (Rabs (L - exact l) + Rabs (R' - exact r))
                   <= roundoff * (gamma a * magnitude l + gamma b * magnitude r + k * underflow))
        by (apply Rmult_le_compat_l; lra).
      assert (f1 : (gamma a + roundoff * (1 + gamma a) + k * (roundoff * roundoff)) * magnitude l <= g * magnitude l)
        by (apply Rmult_le_compat_r; auto).
      assert (f2 : (gamma b + roundoff * (1 + gamma b) + k * (roundoff * roundoff)) * magnitude r <= g * magnitude r)
        by (apply Rmult_le_compat_r; auto).
      unfold M in *; lra.
    - assert (mt := magnitude_nonneg t).
      assert (mm : magnitude (Fma t i) = magnitude t + Rabs (x i * y i))
        by (unfold magnitude; simpl; rewrite lsum_app; simpl; lra).
      assert (ee : exact (Fma t i) = exact t + x i * y i) by (unfold exact; simpl; rewrite lsum_app; simpl; lra).
      assert (cc : count (Fma t i) = (count t + 1)%nat) by (unfold count; simpl; apply app_length).
      set (a := count t) in *; set (p := x i * y i) in *; rewrite cc, mm, ee in *; simpl computed; fold p.
      rewrite plus_INR in *; simpl (INR 1) in *; assert (pa := pos_INR a).
      assert (h := IH ltac:(lra)); clear IH; destruct h as [ht st].
      set (T := computed t) in *; assert (et := exact_le t); assert (pp := Rabs_pos p).
      assert (tri : Rabs (fl (T + p) - (exact t + p)) <= Rabs (fl (T + p) - (T + p)) + Rabs (T - exact t)).
      { replace (fl (T + p) - (exact t + p)) with ((fl (T + p) - (T + p)) + (T - exact t)) by lra; apply Rabs_triang. }
      assert (size : Rabs (T + p) <= magnitude t + Rabs p + Rabs (T - exact t)).
      { replace (T + p) with (exact t + p + (T - exact t)) by lra; eapply Rle_trans; [apply Rabs_triang |].
        apply Rplus_le_compat_r; eapply Rle_trans; [apply Rabs_triang | lra]. }
      assert (kk : INR a * underflow < bpow radix2 (-126)) by (apply count_small; lra).
      assert (ka : INR (a + 1) * roundoff < 1) by (rewrite plus_INR; simpl; lra).
      assert (gk := gamma_nonneg (a + 1) ka); assert (g0 := gamma_nonneg a ltac:(lra)).
      assert (gm := gamma_more a (a + 1) ltac:(lia) ka); assert (g1 := gamma_above_u (a + 1) ltac:(lia) ka).
      split.
      + assert (gs := gamma_step a (a + 1) (le_n _) ka).
        assert (sq : 0 <= INR (a + 1) * (roundoff * roundoff)) by (apply Rmult_le_pos; [apply pos_INR | nra]).
        set (g := gamma (a + 1)) in *.
        assert (f1 : (gamma a + roundoff * (1 + gamma a)) * magnitude t <= g * magnitude t)
          by (apply Rmult_le_compat_r; lra).
        assert (f2 : roundoff * Rabs p <= g * Rabs p) by (apply Rmult_le_compat_r; lra).
        assert (f3 : gamma a * magnitude t <= g * magnitude t) by (apply Rmult_le_compat_r; lra).
        assert (f4 : 0 <= g * Rabs p) by (apply Rmult_le_pos; lra).
        destruct (rounding_error (T + p)) as [err | err]; [| lra].
        assert (e2 : roundoff * Rabs (T + p) <= roundoff * (magnitude t + Rabs p + (gamma a * magnitude t + INR a * underflow)))
          by (apply Rmult_le_compat_l; lra).
        assert (e3 : roundoff * (INR a * underflow) <= underflow) by nra.
        lra.
      + intros s; specialize (st ltac:(lra)).
        assert (err := small_rounding (T + p) ltac:(lra)); lra.
  Qed.
End F32.

(** The bound of tolerance.ts: |fl(a.b) - a.b| <= gamma_K |a|.|b| + K * 2^-150, for every way of adding that takes each product
    once, as long as K * 2^-24 < 1. *)
Theorem dot_product_bound {I} `{Finite I} (choice : Z -> bool) (x y : I -> R) (t : dot_tree (I := I)) :
  Permutation (products t) (enum I) ->
  let k := length (enum I) in
  INR k * roundoff < 1 ->
  Rabs (computed choice x y t - dot x y)
  <= gamma k * dot (fun i => Rabs (x i)) (fun i => Rabs (y i)) + INR k * bpow radix2 (-150).
Proof.
  intros p k hk.
  assert (c : count t = k) by (unfold count, k; now apply Permutation_length).
  assert (s : forall f, lsum (products t) f = sum f).
  { intros f; now apply lsum_permutation. }
  assert (h := proj1 (tree_error choice x y t ltac:(now rewrite c))).
  unfold exact, magnitude in h; rewrite c, !s in h.
  unfold dot; rewrite (sum_ext (fun i => Rabs (x i) * Rabs (y i)) (fun i => Rabs (x i * y i)))
    by (intros; symmetry; apply Rabs_mult).
  exact h.
Qed.

(** A sum of floats in any order: |fl(sum) - sum| <= gamma_(n-1) * sum of |x|, as n numbers take n - 1 additions; no
    term for underflow, as sums are exact near 0. *)
Theorem sum_bound {I} `{Finite I} (choice : Z -> bool) (x : I -> R) (t : order I) :
  (forall i, is_f32 (x i)) ->
  let n := length (enum I) in
  INR n * roundoff < 1 ->
  Rabs (red 0 (fun a b => fl choice (a + b)) t x - sum x) <= gamma (Nat.pred n) * sum (fun i => Rabs (x i)).
Proof.
  intros fx n; assert (u := roundoff_pos).
  assert (h : forall t : rtree I, INR (length (leaves t)) * roundoff < 1 ->
    is_f32 (red 0 (fun a b => fl choice (a + b)) t x) /\
    (length (leaves t) = 0%nat -> red 0 (fun a b => fl choice (a + b)) t x = 0) /\
    Rabs (red 0 (fun a b => fl choice (a + b)) t x - lsum (leaves t) x)
      <= gamma (Nat.pred (length (leaves t))) * lsum (leaves t) (fun i => Rabs (x i))).
  { clear t; induction t as [| i | l IHl r IHr]; cbn [leaves red]; intros hk.
    - split; [apply generic_format_0 | split; auto].
      change (lsum [] x) with 0; change (lsum [] (fun i => Rabs (x i))) with 0; rewrite Rminus_0_r, Rabs_R0; lra.
    - split; [apply fx | split; [discriminate |]].
      change (lsum [i] x) with (x i + 0); change (lsum [i] (fun i => Rabs (x i))) with (Rabs (x i) + 0).
      rewrite !Rplus_0_r; replace (x i - x i) with 0 by lra; rewrite Rabs_R0.
      apply Rmult_le_pos; [apply gamma_nonneg; simpl; lra | apply Rabs_pos].
    - rewrite app_length, !lsum_app in *; rewrite plus_INR in hk.
      set (a := length (leaves l)) in *; set (b := length (leaves r)) in *.
      assert (pa := pos_INR a); assert (pb := pos_INR b).
      assert (ra : 0 <= INR a * roundoff) by (apply Rmult_le_pos; lra).
      assert (rb : 0 <= INR b * roundoff) by (apply Rmult_le_pos; lra).
      destruct (IHl ltac:(lra)) as [fl_l [zl hl]], (IHr ltac:(lra)) as [fl_r [zr hr]]; clear IHl IHr.
      set (L := red 0 (fun a b => fl choice (a + b)) l x) in *.
      set (R' := red 0 (fun a b => fl choice (a + b)) r x) in *.
      set (Ml := lsum (leaves l) (fun i => Rabs (x i))) in *; set (Mr := lsum (leaves r) (fun i => Rabs (x i))) in *.
      set (sl := lsum (leaves l) x) in *; set (sr := lsum (leaves r) x) in *.
      assert (el : Rabs sl <= Ml).
      { unfold sl, Ml; clear; induction (leaves l) as [| i l' IH]; simpl; [rewrite Rabs_R0; lra |].
        eapply Rle_trans; [apply Rabs_triang | lra]. }
      assert (er : Rabs sr <= Mr).
      { unfold sr, Mr; clear; induction (leaves r) as [| i l' IH]; simpl; [rewrite Rabs_R0; lra |].
        eapply Rle_trans; [apply Rabs_triang | lra]. }
      assert (pl := Rabs_pos sl); assert (pr := Rabs_pos sr).
      assert (kk : INR (Nat.pred (a + b)) * roundoff < 1).
      { assert (le := le_INR _ _ (PeanoNat.Nat.le_pred_l (a + b))); rewrite plus_INR in le.
        apply Rle_lt_trans with ((INR a + INR b) * roundoff); [apply Rmult_le_compat_r; lra | lra]. }
      split; [apply fl_f32 |]; split.
      { intros z; rewrite zl, zr by lia; rewrite Rplus_0_r; apply round_0; apply valid_rnd_N. }
      assert (split : Rabs (fl choice (L + R') - (sl + sr))
        <= Rabs (fl choice (L + R') - (L + R')) + (Rabs (L - sl) + Rabs (R' - sr))).
      { replace (fl choice (L + R') - (sl + sr)) with ((fl choice (L + R') - (L + R')) + ((L - sl) + (R' - sr))) by lra.
        eapply Rle_trans; [apply Rabs_triang |]; apply Rplus_le_compat_l, Rabs_triang. }
      assert (size : Rabs (L + R') <= Ml + Mr + (Rabs (L - sl) + Rabs (R' - sr))).
      { replace (L + R') with ((sl + sr) + ((L - sl) + (R' - sr))) by lra.
        eapply Rle_trans; [apply Rabs_triang |]; apply Rplus_le_compat; (eapply Rle_trans; [apply Rabs_triang | lra]). }
      assert (ga := gamma_more (Nat.pred a) (Nat.pred (a + b)) ltac:(lia) kk); assert (gb := gamma_more (Nat.pred b) (Nat.pred (a + b)) ltac:(lia) kk).
      assert (f1 : gamma (Nat.pred a) * Ml <= gamma (Nat.pred (a + b)) * Ml) by (apply Rmult_le_compat_r; lra).
      assert (f2 : gamma (Nat.pred b) * Mr <= gamma (Nat.pred (a + b)) * Mr) by (apply Rmult_le_compat_r; lra).
      destruct (Nat.eq_dec a 0) as [za | na].
      { rewrite (zl za) in *; replace (fl choice (0 + R')) with R' in *
          by (rewrite Rplus_0_l; symmetry; apply round_generic; [apply valid_rnd_N | exact fl_r]).
        replace (R' - (0 + R')) with 0 in split by lra; rewrite Rabs_R0 in split; lra. }
      destruct (Nat.eq_dec b 0) as [zb | nb].
      { rewrite (zr zb) in *; replace (fl choice (L + 0)) with L in *
          by (rewrite Rplus_0_r; symmetry; apply round_generic; [apply valid_rnd_N | exact fl_l]).
        replace (L - (L + 0)) with 0 in split by lra; rewrite Rabs_R0 in split; lra. }
      assert (err := addition_error choice L R' fl_l fl_r).
      assert (sa := gamma_step (Nat.pred a) (Nat.pred (a + b)) ltac:(lia) kk); assert (sb := gamma_step (Nat.pred b) (Nat.pred (a + b)) ltac:(lia) kk).
      assert (sq : 0 <= INR (Nat.pred (a + b)) * (roundoff * roundoff)) by (apply Rmult_le_pos; [apply pos_INR | nra]).
      assert (g1 : (gamma (Nat.pred a) + roundoff * (1 + gamma (Nat.pred a))) * Ml <= gamma (Nat.pred (a + b)) * Ml) by (apply Rmult_le_compat_r; lra).
      assert (g2 : (gamma (Nat.pred b) + roundoff * (1 + gamma (Nat.pred b))) * Mr <= gamma (Nat.pred (a + b)) * Mr) by (apply Rmult_le_compat_r; lra).
      assert (g3 : roundoff * Rabs (L + R') <= roundoff * (Ml + Mr + (gamma (Nat.pred a) * Ml + gamma (Nat.pred b) * Mr)))
        by (apply Rmult_le_compat_l; lra).
      lra. }
  intros hk; assert (e : length (leaves t) = n) by (apply Permutation_length, each_once).
  destruct (h t ltac:(now rewrite e)) as [_ [_ b]].
  rewrite e, !(lsum_permutation _ _ _ (each_once _ t)) in b; exact b.
Qed.
