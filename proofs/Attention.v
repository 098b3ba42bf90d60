(** core/derived/attention.ts: masked softmax attention, with query heads that share heads of keys and values, and its
    backward pass as the code computes it.

    Intuition: softmax turns scores into shares of one whole, so a gradient that is the same for every key moves nothing:
    the backward formula takes the mean under the shares out. Subtracting the largest score changes no share; it is there
    for the range of floats alone, and it is why max, which has no derivative everywhere, does no harm. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet Maps Differential.
Open Scope R_scope.

Section Softmax.
  Context {K : Type} `{Finite K}.
  (** Which keys are seen, and any number to subtract, which may depend on the scores (the largest of them, say). *)
  Variable visible : K -> bool.
  Hypothesis sees : exists k, visible k = true.

  Definition powers (shift : R) (s : K -> R) : K -> R := fun k => if visible k then exp (s k - shift) else 0.
  Definition softmax_shifted shift s : K -> R := fun k => powers shift s k / sum (powers shift s).
  Definition softmax : (K -> R) -> (K -> R) := softmax_shifted 0.

  Lemma powers_sum_pos shift s : 0 < sum (powers shift s).
  Proof.
    destruct sees as [k vk].
    apply Rlt_le_trans with (sum (fun j => if fin_dec k j then powers shift s j else 0)).
    - rewrite (sum_pick k); unfold powers; rewrite vk; apply exp_pos.
    - apply sum_le; intros j; unfold powers; assert (p := exp_pos (s j - shift)).
      destruct (fin_dec k j), (visible j); lra.
  Qed.

  (** What is subtracted before exp changes nothing. *)
  Theorem softmax_any_shift shift s : softmax_shifted shift s = softmax s.
  Proof.
    extensionality k; unfold softmax, softmax_shifted.
    assert (e : forall j, powers shift s j = exp (- shift) * powers 0 s j).
    { intros j; unfold powers; destruct (visible j); [| lra].
      rewrite <- exp_plus; f_equal; lra. }
    rewrite e, (sum_ext _ _ e), sum_scal.
    assert (p := exp_pos (- shift)); assert (q := powers_sum_pos 0 s); field; lra.
  Qed.

  Lemma softmax_sum_one s : sum (softmax s) = 1.
  Proof.
    assert (p := powers_sum_pos 0 s); unfold softmax, softmax_shifted, Rdiv.
    rewrite sum_scal_r; apply Rinv_r; lra.
  Qed.

  Lemma diff_softmax {I} `{Finite I} (S : K -> (I -> R) -> R) x (l : K -> (I -> R) -> R) k :
    (forall j, is_diff (S j) x (l j)) ->
    let p := softmax (fun j => S j x) in
    is_diff (fun x => softmax (fun j => S j x) k) x (fun d => p k * (l k d - sum (fun j => p j * l j d))).
  Proof.
    intros h p.
    assert (hp : forall j, is_diff (fun x => powers 0 (fun j => S j x) j) x
                   (fun d => powers 0 (fun j => S j x) j * l j d)).
    { intros j; unfold powers; destruct (visible j).
      - refine (diff_ext _ _ _ _ _ _ _ (diff_exp _ _ _ (h j)));
          [intros y; now rewrite Rminus_0_r | intros d; now rewrite Rminus_0_r].
      - refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _ (diff_const 0 x)); intros; lra. }
    assert (q := powers_sum_pos 0 (fun j => S j x)).
    refine (diff_ext _ _ _ _ _ (fun _ => eq_refl) _
      (diff_div (fun x => powers 0 (fun j => S j x) k) (fun x => sum (powers 0 (fun j => S j x))) x _ _
        (Rgt_not_eq _ _ q) (hp k) (diff_sum _ _ _ hp))).
    intros d; unfold p, softmax, softmax_shifted; set (n := powers 0 (fun j => S j x)) in *.
    replace (sum (fun j => n j / sum n * l j d)) with (/ sum n * sum (fun j => n j * l j d))
      by (rewrite <- sum_scal; apply sum_ext; intros; unfold Rdiv; lra).
    field; lra.
  Qed.

  (** ds = p * (dp - sum p * dp). *)
  Definition softmax_backward (p dp : K -> R) : K -> R := fun k => p k * (dp k - sum (fun j => p j * dp j)).

  Lemma softmax_adjoint (p dp l : K -> R) :
    sum (fun k => dp k * (p k * (l k - sum (fun j => p j * l j)))) = sum (fun k => softmax_backward p dp k * l k).
  Proof.
    set (a := sum (fun j => p j * l j)); unfold softmax_backward; set (b := sum (fun j => p j * dp j)).
    transitivity (sum (fun k => p k * dp k * l k) - b * a).
    - unfold b; rewrite <- sum_scal_r, <- sum_minus; apply sum_ext; intros; ring.
    - unfold a; rewrite <- sum_scal, <- sum_minus; apply sum_ext; intros; ring.
  Qed.

  Theorem vjp_softmax (shift : (K -> R) -> R) s :
    is_vjp (fun s => softmax_shifted (shift s) s) s (softmax_backward (softmax s)).
  Proof.
    apply (vjp_ext (fun s => softmax s) _ s (softmax_backward (softmax s)));
      [intros; now rewrite softmax_any_shift | auto |].
    apply (vjp_of_components _ _ _ _ (fun k => diff_softmax (fun j s => s j) s _ k (fun j => diff_coord j s))).
    intros G d; apply (softmax_adjoint (softmax s) G d).
  Qed.
End Softmax.

(** Cases, queries, keys; query heads, heads of keys and values, numbers in a head. *)
Section Attention.
  Context {N Q K H G W : Type} `{Finite N} `{Finite Q} `{Finite K} `{Finite H} `{Finite G} `{Finite W}.
  Variable group : H -> G.
  Variable scale : R.
  (** Each case has a mask of its own: rows of packed documents are covered. *)
  Variable visible : N -> Q -> K -> bool.
  Hypothesis sees : forall n t, exists u, visible n t u = true.

  Definition queries : Type := ((N * Q) * (H * W))%type.
  Definition keys : Type := ((N * K) * (G * W))%type.
  Definition q_of (z : queries + (keys + keys) -> R) n t h c := z (inl ((n, t), (h, c))).
  Definition k_of (z : queries + (keys + keys) -> R) n u g c := z (inr (inl ((n, u), (g, c)))).
  Definition v_of (z : queries + (keys + keys) -> R) n u g c := z (inr (inr ((n, u), (g, c)))).

  (** s = scale * q.k, p = softmax s, y = sum p * v *)
  Definition scores z n h t : K -> R :=
    fun u => scale * sum (fun c => q_of z n t h c * k_of z n u (group h) c).
  Definition probabilities z n h t : K -> R := softmax (visible n t) (scores z n h t).
  Definition attention z : queries -> R := fun i =>
    let '((n, t), (h, c)) := i in sum (fun u => probabilities z n h t u * v_of z n u (group h) c).

  (** dp = dy.v, ds = p * (dp - sum p * dp) * scale *)
  Definition d_probabilities z (dy : queries -> R) n h t : K -> R :=
    fun u => sum (fun c => dy ((n, t), (h, c)) * v_of z n u (group h) c).
  Definition d_scores z dy n h t : K -> R :=
    fun u => softmax_backward (probabilities z n h t) (d_probabilities z dy n h t) u * scale.
  (** dq = sum ds * k;  dk = sum ds * q and dv = sum p * dy over the query heads of the group and their queries *)
  Definition of_group (g : G) (f : H -> R) : R := sum (fun h => if fin_dec (group h) g then f h else 0).
  Definition attention_backward z (dy : queries -> R) : queries + (keys + keys) -> R :=
    both (fun i => let '((n, t), (h, c)) := i in sum (fun u => d_scores z dy n h t u * k_of z n u (group h) c))
      (both (fun i => let '((n, u), (g, c)) := i in
               of_group g (fun h => sum (fun t => d_scores z dy n h t u * q_of z n t h c)))
            (fun i => let '((n, u), (g, c)) := i in
               of_group g (fun h => sum (fun t => probabilities z n h t u * dy ((n, t), (h, c)))))).

  Lemma diff_scores z n h t u : is_diff (fun z => scores z n h t u) z
    (fun d => scale * sum (fun c => q_of d n t h c * k_of z n u (group h) c
                                    + q_of z n t h c * k_of d n u (group h) c)).
  Proof.
    apply diff_scal, (diff_sum (fun c z => q_of z n t h c * k_of z n u (group h) c)); intros c.
    apply (diff_mult (fun z => q_of z n t h c) (fun z => k_of z n u (group h) c));
      unfold q_of, k_of; apply diff_coord.
  Qed.

  (** Sums over keys' places, from sums over query heads. *)
  Lemma sum_keys (f : N -> K -> H -> W -> G -> R) :
    sum (fun n => sum (fun u => sum (fun h => sum (fun c => f n u h c (group h)))))
    = sum (fun i : keys => let '((n, u), (g, c)) := i in of_group g (fun h => f n u h c g)).
  Proof.
    unfold keys; rewrite !sum_prod; apply sum_ext; intros n; apply sum_ext; intros u.
    rewrite sum_prod, sum_swap, (sum_swap (I := G)); apply sum_ext; intros c.
    exact (sum_by_group group (fun h g => f n u h c g)).
  Qed.

  Theorem vjp_attention z : is_vjp attention z (attention_backward z).
  Proof.
    set (l := fun n h t u (d : queries + (keys + keys) -> R) =>
      scale * sum (fun c => q_of d n t h c * k_of z n u (group h) c + q_of z n t h c * k_of d n u (group h) c)).
    set (p := probabilities z).
    apply (vjp_of_components _ _ (fun i d => let '((n, t), (h, c)) := i in
      sum (fun u => p n h t u * (l n h t u d - sum (fun j => p n h t j * l n h t j d)) * v_of z n u (group h) c
                    + p n h t u * v_of d n u (group h) c))).
    - intros [[n t] [h c]].
      apply (diff_sum (fun u z => probabilities z n h t u * v_of z n u (group h) c)); intros u.
      apply (diff_mult (fun z => probabilities z n h t u) (fun z => v_of z n u (group h) c));
        [| unfold v_of; apply diff_coord].
      exact (diff_softmax (visible n t) (sees n t) (fun j z => scores z n h t j) z (l n h t) u
               (fun j => diff_scores z n h t j)).
    - intros dy d; unfold attention_backward; rewrite !dot_both; unfold dot.
      (* the left side, head by head *)
      transitivity (sum (fun n => sum (fun t => sum (fun h => sum (fun u =>
        sum (fun c => d_scores z dy n h t u * (q_of d n t h c * k_of z n u (group h) c)
           + d_scores z dy n h t u * (q_of z n t h c * k_of d n u (group h) c)
           + p n h t u * (dy ((n, t), (h, c)) * v_of d n u (group h) c))))))).
      { unfold queries; rewrite !sum_prod; apply sum_ext; intros n; apply sum_ext; intros t.
        rewrite sum_prod; apply sum_ext; intros h.
        transitivity (sum (fun u => d_probabilities z dy n h t u
            * (p n h t u * (l n h t u d - sum (fun j => p n h t j * l n h t j d))))
          + sum (fun u => sum (fun c => p n h t u * (dy ((n, t), (h, c)) * v_of d n u (group h) c)))).
        - rewrite <- sum_plus.
          transitivity (sum (fun c => sum (fun u =>
            dy ((n, t), (h, c)) * v_of z n u (group h) c
              * (p n h t u * (l n h t u d - sum (fun j => p n h t j * l n h t j d)))
            + p n h t u * (dy ((n, t), (h, c)) * v_of d n u (group h) c)))).
          + apply sum_ext; intros c; rewrite <- sum_scal; apply sum_ext; intros u; ring.
          + rewrite sum_swap; apply sum_ext; intros u.
            unfold d_probabilities; rewrite <- sum_scal_r, <- sum_plus; auto.
        - rewrite softmax_adjoint, <- sum_plus; apply sum_ext; intros u.
          unfold l; rewrite <- !sum_scal, <- sum_plus; apply sum_ext; intros c.
          unfold d_scores, p; ring. }
      rewrite <- Rplus_assoc.
      transitivity (
          sum (fun n => sum (fun t => sum (fun h => sum (fun u => sum (fun c =>
            d_scores z dy n h t u * (q_of d n t h c * k_of z n u (group h) c))))))
        + sum (fun n => sum (fun t => sum (fun h => sum (fun u => sum (fun c =>
            d_scores z dy n h t u * (q_of z n t h c * k_of d n u (group h) c))))))
        + sum (fun n => sum (fun t => sum (fun h => sum (fun u => sum (fun c =>
            p n h t u * (dy ((n, t), (h, c)) * v_of d n u (group h) c))))))).
      { repeat (rewrite <- !sum_plus; apply sum_ext; intros ?); auto. }
      assert (order : forall f : N -> Q -> H -> K -> W -> R,
        sum (fun n => sum (fun t => sum (fun h => sum (fun u => sum (fun c => f n t h u c)))))
        = sum (fun n => sum (fun u => sum (fun h => sum (fun c => sum (fun t => f n t h u c)))))).
      { intros f; apply sum_ext; intros n.
        rewrite (sum_ext (I := Q) _ (fun t => sum (fun u => sum (fun h => sum (fun c => f n t h u c)))))
          by (intros t; apply sum_swap).
        rewrite sum_swap; apply sum_ext; intros u; rewrite sum_swap; apply sum_ext; intros h; apply sum_swap. }
      assert (scale_if : forall a g (f : H -> R), of_group g f * a = of_group g (fun h => f h * a)).
      { intros a g f; unfold of_group; rewrite <- sum_scal_r; apply sum_ext; intros h.
        destruct (fin_dec (group h) g); lra. }
      f_equal; [f_equal |].
      + unfold queries; rewrite !sum_prod; apply sum_ext; intros n; apply sum_ext; intros t.
        rewrite sum_prod; apply sum_ext; intros h; rewrite sum_swap; apply sum_ext; intros c.
        rewrite <- sum_scal_r; apply sum_ext; intros u; unfold q_of, fst'; ring.
      + rewrite order.
        rewrite (sum_keys (fun n u h c g => sum (fun t => d_scores z dy n h t u * (q_of z n t h c * k_of d n u g c)))).
        apply sum_ext; intros [[n u] [g c]]; unfold fst', snd'.
        rewrite scale_if; unfold of_group; apply sum_ext; intros h; destruct (fin_dec (group h) g); auto.
        rewrite <- sum_scal_r; apply sum_ext; intros t; symmetry; apply Rmult_assoc.
      + rewrite order.
        rewrite (sum_keys (fun n u h c g => sum (fun t => p n h t u * (dy ((n, t), (h, c)) * v_of d n u g c)))).
        apply sum_ext; intros [[n u] [g c]]; unfold snd'.
        rewrite scale_if; unfold of_group; apply sum_ext; intros h; destruct (fin_dec (group h) g); auto.
        rewrite <- sum_scal_r; apply sum_ext; intros t; symmetry; apply Rmult_assoc.
  Qed.
End Attention.
