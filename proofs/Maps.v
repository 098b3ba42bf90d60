(** The maps between a network's layers whose derivatives need no calculus: functions of one number at a time, and linear
    maps (frozen layers, reshapes, patches of an image: core/ops.ts, [unfold] and [fold]). *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear Network Gradient Frechet.
Open Scope R_scope.

(** ** One number at a time (tanh, sigmoid, GELU, SiLU, ReLU away from 0) *)
Lemma uniform_delta {I} `{Finite I} (Q : I -> R -> Prop) :
  (forall i a b, 0 < a <= b -> Q i b -> Q i a) ->
  (forall i, exists delta, 0 < delta /\ Q i delta) ->
  exists delta, 0 < delta /\ forall i, Q i delta.
Proof.
  intros mono ex.
  assert (h : forall l, exists delta, 0 < delta /\ forall i, In i l -> Q i delta).
  { induction l as [| i l [a [ap ha]]]; [exists 1; split; [lra | intros i []] |].
    destruct (ex i) as [b [bp hb]]; exists (Rmin a b); split; [now apply Rmin_pos |].
    assert (m1 := Rmin_l a b); assert (m2 := Rmin_r a b); assert (mp := Rmin_pos a b ap bp).
    intros k [<- | hk]; [apply (mono i _ b) | apply (mono k _ a)]; auto. }
  destruct (h (enum I)) as [delta [dp hd]]; exists delta; split; auto.
  intros i; apply hd, enum_all.
Qed.

Lemma entry_le_norm {I} `{Finite I} (v : I -> R) i : Rabs (v i) <= norm v.
Proof.
  rewrite <- (Rabs_pos_eq (norm v)) by apply norm_pos; apply Rsqr_le_abs_0.
  unfold Rsqr; rewrite norm_sqr, <- (sum_pick i (fun i => v i * v i)).
  apply sum_le; intros j; assert (p := Rle_0_sqr (v j)); unfold Rsqr in p.
  destruct (fin_dec i j); lra.
Qed.

Theorem vjp_elementwise {I} `{Finite I} (f f' : R -> R) (x : I -> R) :
  (forall i, derivable_pt_lim f (x i) (f' (x i))) ->
  is_vjp (fun x i => f (x i)) x (fun G i => f' (x i) * G i).
Proof.
  intros der.
  exists (fun d i => f' (x i) * d i), (norm (fun i => f' (x i))).
  split; [apply norm_pos |]; split; [| split].
  - intros d; apply norm_le_sqr; [apply Rmult_le_pos; apply norm_pos |].
    set (c := norm (fun i => f' (x i))).
    replace (c * norm d * (c * norm d)) with (c * c * (norm d * norm d)) by lra.
    rewrite norm_sqr; unfold dot; rewrite <- sum_scal; apply sum_le; intros i.
    assert (a := entry_le_norm (fun i => f' (x i)) i); fold c in a; simpl in a.
    assert (b : f' (x i) * f' (x i) <= c * c).
    { apply Rsqr_le_abs_1; rewrite (Rabs_pos_eq c) by apply norm_pos; exact a. }
    assert (p := Rle_0_sqr (d i)); unfold Rsqr in p; nra.
  - intros G d; apply sum_ext; intros; lra.
  - intros eps he.
    destruct (uniform_delta (fun i delta => forall h, Rabs h < delta ->
                Rabs (f (x i + h) - f (x i) - f' (x i) * h) <= eps * Rabs h)) as [delta [dp hd]].
    + intros i a b [_ ab] q h hh; apply q; lra.
    + intros i; destruct (der i eps he) as [delta hd].
      exists delta; split; [apply cond_pos |]; intros h hh.
      destruct (Req_dec h 0) as [-> | h0].
      { replace (f (x i + 0) - f (x i) - f' (x i) * 0) with 0
          by (rewrite Rplus_0_r; lra); rewrite Rabs_R0; lra. }
      replace (f (x i + h) - f (x i) - f' (x i) * h)
        with (((f (x i + h) - f (x i)) / h - f' (x i)) * h) by (field; auto).
      rewrite Rabs_mult; apply Rmult_le_compat_r; [apply Rabs_pos |].
      now apply Rlt_le, hd.
    + exists delta; split; auto; intros d small.
      apply norm_le_sqr; [apply Rmult_le_pos; [lra | apply norm_pos] |].
      replace (eps * norm d * (eps * norm d)) with (eps * eps * (norm d * norm d)) by lra.
      rewrite norm_sqr; unfold dot; rewrite <- sum_scal; apply sum_le; intros i.
      assert (a := hd i (d i) ltac:(eapply Rle_lt_trans; [apply entry_le_norm | exact small])).
      unfold vsub, along; rewrite Rmult_1_l.
      assert (b : Rabs (f (x i + d i) - f (x i) - f' (x i) * d i) <= Rabs (eps * d i))
        by (rewrite Rabs_mult, (Rabs_pos_eq eps) by lra; exact a).
      apply Rsqr_le_abs_1 in b; unfold Rsqr in b; lra.
Qed.

(** A linear map with an adjoint is its own derivative: frozen linear layers, reshapes, im2col. *)
Lemma vjp_of_linear {I K} `{Finite I} `{Finite K} (l : (I -> R) -> (K -> R)) adj C x :
  0 <= C -> (forall d, norm (l d) <= C * norm d) ->
  (forall G d, dot G (l d) = dot (adj G) d) -> is_vjp l x adj.
Proof.
  intros pC bd ad; exists l, C; repeat split; auto.
  intros eps he; exists 1; split; [lra | intros d _].
  replace (vsub (vsub (l (along x 1 d)) (l x)) (l d)) with (zero (I := K)).
  - rewrite norm_zero; apply Rmult_le_pos; [lra | apply norm_pos].
  - apply dot_eq; intros G; rewrite !dot_sub_l, !(dot_comm _ G), !ad, dot_along_r.
    replace (dot G zero) with 0; [lra |].
    unfold dot, zero; rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra.
Qed.

(** Reading input pixels into patches (zero padding where [patch] is [None]); its VJP adds
    the gradients of every place a pixel was read at. *)
Definition gather_pad {I K} (patch : K -> option I) (X : I -> R) : K -> R :=
  fun k => match patch k with Some i => X i | None => 0 end.
Definition scatter_add {I K} `{Finite I} `{Finite K} (patch : K -> option I) (G : K -> R) : I -> R :=
  fun i => sum (fun k => match patch k with
                         | Some i' => if fin_dec i' i then G k else 0 | None => 0 end).

Theorem vjp_gather_pad {I K} `{Finite I} `{Finite K} (patch : K -> option I) x :
  is_vjp (gather_pad patch) x (scatter_add patch).
Proof.
  apply (vjp_of_linear _ _ (sqrt (sum (fun _ : K => 1)))); [apply sqrt_pos | |].
  - intros d; assert (n : 0 <= sum (fun _ : K => 1)) by (apply sum_nonneg; intros; lra).
    apply norm_le_sqr; [apply Rmult_le_pos; [apply sqrt_pos | apply norm_pos] |].
    replace (sqrt (sum (fun _ : K => 1)) * norm d * (sqrt (sum (fun _ : K => 1)) * norm d))
      with ((norm d * norm d) * (sqrt (sum (fun _ : K => 1)) * sqrt (sum (fun _ : K => 1)))) by lra.
    rewrite sqrt_sqrt, norm_sqr, <- sum_scal by auto; apply sum_le; intros k.
    unfold gather_pad; destruct (patch k) as [i |].
    + assert (a := entry_le_norm d i); rewrite <- norm_sqr, Rmult_1_r.
      rewrite <- (Rabs_pos_eq (norm d)) in a by apply norm_pos.
      apply Rsqr_le_abs_1 in a; exact a.
    + assert (p := dot_pos d); lra.
  - intros G d; unfold dot, scatter_add.
    transitivity (sum (fun i => sum (fun k => d i * match patch k with
      | Some i' => if fin_dec i' i then G k else 0 | None => 0 end))).
    + rewrite sum_swap; apply sum_ext; intros k; unfold gather_pad.
      destruct (patch k) as [i' |].
      * rewrite <- (sum_pick i' (fun i => G k * d i)); apply sum_ext; intros i.
        destruct (fin_dec i' i); lra.
      * rewrite (sum_ext _ (fun _ => 0)), sum_0; intros; lra.
    + apply sum_ext; intros i; rewrite sum_scal; lra.
Qed.
