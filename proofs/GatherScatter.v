(** core/laws.ts, methods/paca.ts: taking columns out and putting them back. [A] is ANY type of numbers: nothing here uses
    arithmetic, so the theorems hold bit for bit for floats.

    Intuition: choosing columns is bookkeeping. As long as no column is listed twice, nothing is lost on the way. *)
From Coq Require Import List FunctionalExtensionality.
From PaCA Require Import Finite.
Import ListNotations.

Section GatherScatter.
  Context {A I J : Type} `{Finite I} `{Finite J}.
  Variable idx : J -> I.                      (* which coordinates are trained *)
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.

  Definition preimage (i : I) : option J :=
    find (fun j => if fin_dec (idx j) i then true else false) (enum J).
  Definition selected (i : I) : bool := if preimage i then true else false.

  Definition gather (w : I -> A) : J -> A := fun j => w (idx j).
  Definition scatter (w : I -> A) (q : J -> A) : I -> A :=
    fun i => match preimage i with Some j => q j | None => w i end.

  (** The imperative loop [for j: w[idx[j]] = q[j]]. *)
  Definition assign (w : I -> A) (i : I) (a : A) : I -> A :=
    fun k => if fin_dec i k then a else w k.
  Definition scatter_loop (w : I -> A) (q : J -> A) : I -> A :=
    fold_left (fun w j => assign w (idx j) (q j)) (enum J) w.

  Lemma preimage_some i j : preimage i = Some j -> idx j = i.
  Proof.
    unfold preimage; intros h; apply find_some in h; destruct h as [_ h].
    destruct (fin_dec (idx j) i); congruence.
  Qed.

  Lemma preimage_none i : preimage i = None -> forall j, idx j <> i.
  Proof.
    unfold preimage; intros h j e; apply find_none with (x := j) in h; [| apply enum_all].
    destruct (fin_dec (idx j) i); congruence.
  Qed.

  Lemma preimage_idx j : preimage (idx j) = Some j.
  Proof.
    destruct (preimage (idx j)) as [k |] eqn:e.
    - apply preimage_some in e; f_equal; now apply idx_inj.
    - exfalso; now apply (preimage_none _ e j).
  Qed.

  Lemma selected_idx j : selected (idx j) = true.
  Proof. unfold selected; now rewrite preimage_idx. Qed.
  Lemma selected_iff i : selected i = true <-> exists j, idx j = i.
  Proof.
    unfold selected; split.
    - destruct (preimage i) as [j |] eqn:e; [exists j; now apply preimage_some | discriminate].
    - intros [j <-]; now rewrite preimage_idx.
  Qed.

  (** Putting back what was taken out changes nothing. *)
  Theorem scatter_gather w : scatter w (gather w) = w.
  Proof.
    extensionality i; unfold scatter, gather.
    destruct (preimage i) as [j |] eqn:e; auto; now rewrite (preimage_some _ _ e).
  Qed.
  (** What was put in can be taken out. *)
  Theorem gather_scatter w q : gather (scatter w q) = q.
  Proof. extensionality j; unfold scatter, gather; now rewrite preimage_idx. Qed.
  (** The last write wins: merging twice is merging once. *)
  Theorem scatter_scatter w q q' : scatter (scatter w q) q' = scatter w q'.
  Proof. extensionality i; unfold scatter; now destruct (preimage i). Qed.
  (** Frozen coordinates keep their value. *)
  Theorem scatter_frozen w q i : selected i = false -> scatter w q i = w i.
  Proof. unfold scatter, selected; destruct (preimage i); congruence. Qed.
  Theorem scatter_selected w q j : scatter w q (idx j) = q j.
  Proof. unfold scatter; now rewrite preimage_idx. Qed.

  (** The loop the program runs computes [scatter]. *)
  Theorem scatter_loop_correct w q : scatter_loop w q = scatter w q.
  Proof.
    unfold scatter_loop.
    assert (off : forall l w i, (forall j, In j l -> idx j <> i) ->
              fold_left (fun w j => assign w (idx j) (q j)) l w i = w i).
    { induction l as [| a l IH]; simpl; intros v i h; auto.
      rewrite IH; auto; unfold assign; destruct (fin_dec (idx a) i); auto.
      exfalso; now apply (h a); auto. }
    assert (on : forall l w j, NoDup l -> In j l ->
              fold_left (fun w j => assign w (idx j) (q j)) l w (idx j) = q j).
    { induction l as [| a l IH]; simpl; intros v j nd h; [tauto |].
      inversion nd as [| ? ? na nl]; subst.
      destruct h as [<- | h]; [| now apply IH].
      rewrite off.
      - unfold assign; now destruct (fin_dec (idx a) (idx a)).
      - intros k ik e; apply idx_inj in e; congruence. }
    extensionality i; unfold scatter; destruct (preimage i) as [j |] eqn:e.
    - rewrite <- (preimage_some _ _ e); apply on; [apply enum_nodup | apply enum_all].
    - apply off; intros j _; now apply preimage_none.
  Qed.
  (** [scatterAdd]: the loop [for j: w[idx[j]] = w[idx[j]] + q[j]], as W~ = W + s * delta is made. *)
  Definition scatter_add_loop (add : A -> A -> A) (w : I -> A) (q : J -> A) : I -> A :=
    fold_left (fun v j => assign v (idx j) (add (v (idx j)) (q j))) (enum J) w.

  Theorem scatter_add_loop_correct add w q : scatter_add_loop add w q = scatter w (fun j => add (w (idx j)) (q j)).
  Proof.
    rewrite <- scatter_loop_correct; unfold scatter_add_loop, scatter_loop.
    assert (h : forall l v, NoDup l -> (forall j, In j l -> v (idx j) = w (idx j)) ->
      fold_left (fun v j => assign v (idx j) (add (v (idx j)) (q j))) l v
      = fold_left (fun v j => assign v (idx j) (add (w (idx j)) (q j))) l v).
    { induction l as [| a l IH]; simpl; intros v nd same; auto.
      inversion nd as [| ? ? na nl]; subst.
      rewrite same by auto; apply IH; auto; intros j ij; unfold assign.
      destruct (fin_dec (idx a) (idx j)) as [e | e]; [| now apply same; right].
      apply idx_inj in e; congruence. }
    apply h; auto using enum_nodup.
  Qed.

  (** gather(scatterAdd(0, I, q), I) = q, where adding to 0 changes nothing (for floats the 0 is -0). *)
  Theorem gather_after_scatter_add add zero q : (forall a, add zero a = a) ->
    gather (scatter_add_loop add (fun _ => zero) q) = q.
  Proof. intros z; rewrite scatter_add_loop_correct, gather_scatter; extensionality j; apply z. Qed.

  (** What is not selected keeps its value, -0 and NaN too. *)
  Theorem scatter_add_leaves_others add w q i : selected i = false -> scatter_add_loop add w q i = w i.
  Proof. intros f; rewrite scatter_add_loop_correct; now apply scatter_frozen. Qed.
End GatherScatter.

(** Injectivity (no column listed twice) is needed: with a repeated index, what was put in
    cannot be taken out. *)
Theorem repeated_index_loses_data {A I J} `{Finite I} `{Finite J} (idx : J -> I) j k w (q : J -> A) :
  idx j = idx k -> q j <> q k -> gather idx (scatter idx w q) <> q.
Proof.
  intros e ne eq; apply ne; rewrite <- eq; unfold gather; now rewrite e.
Qed.

(** ** Columns of a matrix.  [colmap idx] selects the columns [idx k] of an O x C matrix. *)
Section Columns.
  Context {A O C K : Type} `{Finite O} `{Finite C} `{Finite K}.
  Variable idx : K -> C.
  Hypothesis idx_inj : forall j k, idx j = idx k -> j = k.

  Definition colmap (p : O * K) : O * C := (fst p, idx (snd p)).

  Lemma colmap_inj p q : colmap p = colmap q -> p = q.
  Proof.
    destruct p, q; unfold colmap; simpl; intros e; injection e; intros ei eo.
    apply idx_inj in ei; congruence.
  Qed.
End Columns.
