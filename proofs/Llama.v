(** models/llama/llama.ts: a block of the LLaMA family as it is built here, and the whole decoder with its loss.

      x + o(attention(rope(q(n)), rope(k(n)), v(n)))  with n = norm(x),
      x + down(silu(gate(n)) * up(n))                 with n = norm(x).

    Every linear map is trained in the columns that its index set names (none, if that is empty: a frozen layer).

    Intuition: the seven maps of a block are the only places that train, and each asks for its own few columns alone; norms,
    turns and attention need no weight gradient, only a right way back. *)
From Coq Require Import List Reals Lra Psatz FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Gradient Frechet Maps Differential Backprop
  Activations Norms Attention Rope Losses.
Open Scope R_scope.

Section Block.
  (** Cases of a batch, positions, width of the model; heads, heads of keys and values, half a head's width; feed-forward. *)
  Context {N T C H G F M : ftype}.
  Definition rows := fprod N T.
  Definition head := fsum F F.
  Definition q_width := fprod H head.
  Definition kv_width := fprod G head.

  (** The orders of summation, any of them: over rows, and over each width. *)
  Variables (on : order rows) (oc : order C) (oq : order q_width) (ok : order kv_width) (om : order M).

  (** What a block is made of beside its seven weights. *)
  Record block := {
    norm1 : C -> R; norm2 : C -> R;
    bias_q : q_width -> R; bias_k : kv_width -> R; bias_v : kv_width -> R; bias_o : C -> R;
    r_q : ftype; r_k : ftype; r_v : ftype; r_o : ftype; r_gate : ftype; r_up : ftype; r_down : ftype;
    i_q : r_q -> C; i_k : r_k -> C; i_v : r_v -> C; i_o : r_o -> q_width;
    i_gate : r_gate -> C; i_up : r_up -> C; i_down : r_down -> M }.

  Variables (epsilon : R) (group : H -> G) (scale : R) (sees : N -> T -> T -> bool) (cosine sine : N -> T -> F -> R).
  Hypothesis epsilon_pos : 0 < epsilon.
  Hypothesis sees_one : forall n t, exists u, sees n t u = true.

  Definition norm_net (w : C -> R) : net (A := R) (fprod rows C) (fprod rows C) :=
    Map (C := fprod rows C) (D := fprod rows C)
      (rms_norm_rows (B := rows) epsilon w) (rms_norm_rows_input (B := rows) epsilon w).
  Definition bias_net {O : ftype} (b : O -> R) : net (A := R) (fprod rows O) (fprod rows O) :=
    Map (C := fprod rows O) (D := fprod rows O) (fun x p => x p + b (snd p)) (fun _ dy => dy).
  Definition rope_net {H' : ftype} : net (A := R) (fprod rows (fprod H' head)) (fprod rows (fprod H' head)) :=
    Map (C := fprod rows (fprod H' head)) (D := fprod rows (fprod H' head))
      (rope (N := N) (H := H') cosine sine) (fun _ => rope_backward cosine sine).
  Definition attention_net : net (A := R)
      (fsum (fprod rows q_width) (fsum (fprod rows kv_width) (fprod rows kv_width))) (fprod rows q_width) :=
    Map (C := fsum (fprod rows q_width) (fsum (fprod rows kv_width) (fprod rows kv_width))) (D := fprod rows q_width)
      (attention (N := N) (W := head) group scale sees) (attention_backward (N := N) (W := head) group scale sees).
  Definition swiglu_net : net (A := R) (fsum (fprod rows M) (fprod rows M)) (fprod rows M) :=
    Map (C := fsum (fprod rows M) (fprod rows M)) (D := fprod rows M) swiglu swiglu_backward.
  Definition residual_net {D : ftype} (f : net (A := R) D D) : net (A := R) D D :=
    Seq (Fork (Map (fun x => x) (fun _ dy => dy)) f) (Map (C := fsum D D) (D := D) add_branches (fun _ => to_both)).

  Definition attention_branch (b : block) : net (A := R) (fprod rows C) (fprod rows C) :=
    Seq (norm_net (norm1 b))
      (Seq (Fork (Seq (Linear oc oq on (i_q b)) (Seq (bias_net (bias_q b)) rope_net))
             (Fork (Seq (Linear oc ok on (i_k b)) (Seq (bias_net (bias_k b)) rope_net))
                   (Seq (Linear oc ok on (i_v b)) (bias_net (bias_v b)))))
        (Seq attention_net (Seq (Linear oq oc on (i_o b)) (bias_net (bias_o b))))).
  Definition feed_forward_branch (b : block) : net (A := R) (fprod rows C) (fprod rows C) :=
    Seq (norm_net (norm2 b))
      (Seq (Fork (Linear oc om on (i_gate b)) (Linear oc om on (i_up b)))
        (Seq swiglu_net (Linear om oc on (i_down b)))).
  Definition block_net (b : block) : net (A := R) (fprod rows C) (fprod rows C) :=
    Seq (residual_net (attention_branch b)) (residual_net (feed_forward_branch b)).

  (** Every map of the block has the derivative that the code runs backward, at any weights and any input. *)
  Theorem llama_block_maps_ok b w X : maps_ok (block_net b) w X.
  Proof.
    unfold block_net, residual_net, attention_branch, feed_forward_branch; simpl; repeat split;
      first [ apply vjp_id | apply (vjp_bias (B := rows)) | apply vjp_residual | apply vjp_swiglu
            | apply (vjp_rms_norm_rows (B := rows) epsilon epsilon_pos)
            | apply (vjp_rope (N := N)) | now apply (vjp_attention (N := N)) ].
  Qed.

  (** ** The decoder: blocks, norm, head.  Embedded tokens go in, logits come out. *)
  Fixpoint blocks (bs : list block) : net (A := R) (fprod rows C) (fprod rows C) :=
    match bs with
    | nil => Map (fun x => x) (fun _ dy => dy)
    | b :: bs => Seq (block_net b) (blocks bs)
    end.

  Context {V K : ftype}.
  Variables (ov : order V) (i_head : K -> C) (norm_last : C -> R).
  Definition decoder bs : net (A := R) (fprod rows C) (fprod rows V) :=
    Seq (blocks bs) (Seq (norm_net norm_last) (Linear oc ov on i_head)).

  Theorem llama_maps_ok bs w X : maps_ok (decoder bs) w X.
  Proof.
    assert (h : forall w X, maps_ok (blocks bs) w X).
    { clear w X; induction bs as [| b bs IH]; intros w' Y; [apply vjp_id |].
      split; [exact (llama_block_maps_ok b _ Y) | apply IH]. }
    simpl; repeat split; [apply h | apply (vjp_rms_norm_rows (B := rows) epsilon epsilon_pos)].
  Qed.

  (** s times what PaCA's backward pass returns is the gradient of the cross-entropy in delta, in every layer, each with a
      scale of its own. *)
  Theorem llama_gradient bs w0 (s : widx (decoder bs) -> R) d X (target : rows -> option V) (denominator : R)
      (shift : rows -> (V -> R) -> R) :
    (exists v : V, True) -> no_repeats (decoder bs) ->
    let w := weights_of (trained (decoder bs)) (fun i => put_delta w0 (s i) i) w0 d in
    let loss := cross_entropy target denominator shift in
    is_grad (fun d => loss (rrun (decoder bs) (weights_of (trained (decoder bs)) (fun i => put_delta w0 (s i) i) w0 d) X)) d
      (fun j => s (trained (decoder bs) j) * snd (rbackward (decoder bs) w (rkeep (decoder bs) w X)
        (cross_entropy_backward target denominator (rrun (decoder bs) w X) 1)) j).
  Proof.
    intros v nr w loss; apply (paca_delta_gradient (decoder bs) w0 s d X loss); auto using llama_maps_ok.
    assert (g := cross_entropy_gradient target denominator v shift 1 (rrun (decoder bs) w X)).
    replace loss with (fun X => 1 * cross_entropy target denominator shift X); auto.
    extensionality Y; unfold loss; lra.
  Qed.
End Block.
