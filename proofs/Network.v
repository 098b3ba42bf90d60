(** core/layer.ts, models/: whole networks.  Linear layers (trained in part) over any rows, arbitrary maps (activations,
    norms, attention, loss head, frozen layers, im2col, reshapes: a forward function and its vector-Jacobian product),
    composition ([andThen]), and forks (residual branches, q/k/v).  Any feed-forward graph can be written this way.

    Intuition: the backward pass never asks a frozen column for its activations, in no layer; so the whole network's
    gradient in the trained columns is that of full fine-tuning, bit for bit, from a residual that is a fraction as large.
    *)
From Coq Require Import List FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Linear.

Section Numbers.
  Context {A : Type}.
  Variables (zero : A) (add mul : A -> A -> A).

  Definition act (C : ftype) := C -> A.

  (** The weights are kept apart, in a flat vector indexed by [widx]; the trained ones are indexed by [tidx].  Each linear
      layer has the orders of its three sums. *)
  Inductive net : ftype -> ftype -> Type :=
  | Linear {B O C K : ftype} (oc : order C) (oo : order O) (ob : order B) (idx : K -> C) : net (fprod B C) (fprod B O)
  | Map {C D : ftype} (f : act C -> act D) (vjp : act C -> act D -> act C) : net C D
  | Seq {C D E : ftype} (f : net C D) (g : net D E) : net C E
  | Fork {C D E : ftype} (f : net C D) (g : net C E) : net C (fsum D E).

  Fixpoint widx {C D} (n : net C D) : ftype :=
    match n with
    | @Linear _ o c _ _ _ _ _ => fprod o c
    | Map _ _ => fempty
    | Seq f g | Fork f g => fsum (widx f) (widx g)
    end.
  Fixpoint tidx {C D} (n : net C D) : ftype :=
    match n with
    | @Linear _ o _ k _ _ _ _ => fprod o k
    | Map _ _ => fempty
    | Seq f g | Fork f g => fsum (tidx f) (tidx g)
    end.

  Definition smap {T T' U U'} (f : T -> U) (g : T' -> U') (p : T + T') : U + U' :=
    match p with inl a => inl (f a) | inr b => inr (g b) end.
  Definition both {T T' U} (f : T -> U) (g : T' -> U) (p : T + T') : U :=
    match p with inl a => f a | inr b => g b end.
  Definition fst' {T T' U} (f : T + T' -> U) : T -> U := fun a => f (inl a).
  Definition snd' {T T' U} (f : T + T' -> U) : T' -> U := fun b => f (inr b).

  (** Which weights are trained: the columns [idx] of each linear layer. *)
  Fixpoint trained {C D} (n : net C D) : tidx n -> widx n :=
    match n with
    | Linear _ _ _ idx => colmap idx
    | Map _ _ => fun e => e
    | Seq f g | Fork f g => smap (trained f) (trained g)
    end.

  Definition plus {C : ftype} (U V : act C) : act C := fun p => add (U p) (V p).

  Fixpoint run {C D} (n : net C D) : (widx n -> A) -> act C -> act D :=
    match n with
    | Linear oc _ _ _ => fun W X => forward zero add mul oc W X
    | Map f _ => fun _ X => f X
    | Seq f g => fun w X => run g (snd' w) (run f (fst' w) X)
    | Fork f g => fun w X => both (run f (fst' w) X) (run g (snd' w) X)
    end.

  (** Full fine-tuning: every activation is available to the backward pass, every weight gets a gradient. *)
  Fixpoint full_back {C D} (n : net C D) :
      (widx n -> A) -> act C -> act D -> act C * (widx n -> A) :=
    match n with
    | Linear _ oo ob _ => fun W X G => (grad_X zero add mul oo G W, grad_W zero add mul ob G X)
    | Map _ vjp => fun _ X G => (vjp X G, Empty_set_rect _)
    | Seq f g => fun w X G => let (GY, dg) := full_back g (snd' w) (run f (fst' w) X) G in
                              let (GX, df) := full_back f (fst' w) X GY in (GX, both df dg)
    | Fork f g => fun w X G => let (Gf, df) := full_back f (fst' w) X (fst' G) in
                               let (Gg, dg) := full_back g (snd' w) X (snd' G) in
                               (plus Gf Gg, both df dg)
    end.

  (** PaCA: the residual keeps, for a linear layer, only the gathered activations; the backward pass sees nothing but the
      residual and the weights. *)
  Fixpoint residual {C D} (n : net C D) : Type :=
    match n with
    | @Linear b _ _ k _ _ _ _ => act (fprod b k)
    | @Map c _ _ _ => act c
    | Seq f g | Fork f g => residual f * residual g
    end.
  Fixpoint keep {C D} (n : net C D) : (widx n -> A) -> act C -> residual n :=
    match n with
    | Linear _ _ _ idx => fun _ X => gather (colmap idx) X
    | Map _ _ => fun _ X => X
    | Seq f g => fun w X => (keep f (fst' w) X, keep g (snd' w) (run f (fst' w) X))
    | Fork f g => fun w X => (keep f (fst' w) X, keep g (snd' w) X)
    end.
  Fixpoint backward {C D} (n : net C D) :
      (widx n -> A) -> residual n -> act D -> act C * (tidx n -> A) :=
    match n with
    | Linear _ oo ob _ => fun W Xk G => (grad_X zero add mul oo G W, grad_W zero add mul ob G Xk)
    | Map _ vjp => fun _ X G => (vjp X G, Empty_set_rect _)
    | Seq f g => fun w t G => let (GY, dg) := backward g (snd' w) (snd t) G in
                              let (GX, df) := backward f (fst' w) (fst t) GY in (GX, both df dg)
    | Fork f g => fun w t G => let (Gf, df) := backward f (fst' w) (fst t) (fst' G) in
                               let (Gg, dg) := backward g (snd' w) (snd t) (snd' G) in
                               (plus Gf Gg, both df dg)
    end.

  (** The input gradient is that of full fine-tuning, and PaCA's weight gradient is the trained part of the full one. *)
  Theorem paca_backprop_correct {C D} (n : net C D) w X G :
    backward n w (keep n w X) G
    = (fst (full_back n w X G), gather (trained n) (snd (full_back n w X G))).
  Proof.
    induction n as [| | C D E f IHf g IHg | C D E f IHf g IHg]; simpl; auto.
    - rewrite IHg; destruct (full_back g (snd' w) (run f (fst' w) X) G) as [GY dg]; simpl.
      rewrite IHf; destruct (full_back f (fst' w) X GY) as [GX df]; simpl.
      f_equal; extensionality p; now destruct p.
    - rewrite IHf, IHg.
      destruct (full_back f (fst' w) X (fst' G)), (full_back g (snd' w) X (snd' G)); simpl.
      f_equal; extensionality p; now destruct p.
  Qed.


  (** No repeated column in any layer: no repeated trained weight. *)
  Fixpoint no_repeats {C D} (n : net C D) : Prop :=
    match n with
    | Linear _ _ _ idx => forall j k, idx j = idx k -> j = k
    | Map _ _ => True
    | Seq f g | Fork f g => no_repeats f /\ no_repeats g
    end.
  Lemma trained_inj {C D} (n : net C D) :
    no_repeats n -> forall p q, trained n p = trained n q -> p = q.
  Proof.
    induction n as [B O C K oc oo ob idx | | C D E f IHf g IHg | C D E f IHf g IHg]; simpl;
      [exact (colmap_inj idx) | auto | |];
      intros [hf hg] [p | p] [q | q] e; simpl in e; try discriminate e;
      injection e; intros e'; f_equal; auto.
  Qed.
End Numbers.
