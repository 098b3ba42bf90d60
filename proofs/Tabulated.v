(** The training loop with each step's numbers put down in a table, which is what Vectors.v evaluates; without it, a
    function is computed anew at every use.  It is the loop of the theorems. *)
From Coq Require Import List FunctionalExtensionality.
From PaCA Require Import Finite Reduction GatherScatter Optimizer Linear Network Loop.
Import ListNotations.

Section Table.
  Context {A I : Type} `{Finite I}.
  Fixpoint find_in (l : list (I * A)) (i : I) (otherwise : A) : A :=
    match l with
    | [] => otherwise
    | (j, a) :: l => if fin_dec j i then a else find_in l i otherwise
    end.
  Definition tabulated (otherwise : A) (f : I -> A) : I -> A :=
    let table := map (fun i => (i, f i)) (enum I) in fun i => find_in table i otherwise.
  Lemma tabulated_same a f : tabulated a f = f.
  Proof.
    extensionality i; unfold tabulated; assert (h := enum_all i); induction (enum I) as [| j l IH]; [destruct h |].
    simpl; destruct (fin_dec j i) as [<- | n]; auto; destruct h as [<- | h]; [congruence | auto].
  Qed.
End Table.

Section TabulatedLoop.
  Context {A S : Type} (zero : A) (add mul : A -> A -> A) {C D : ftype} (n : net (A := A) C D).
  Variables (put pull : widx n -> A -> A) (start w0 : widx n -> A) (init : S).
  Variable step : widx n -> nat -> A -> S -> A -> A * S.
  Variable batch_at : nat -> batch A C D.
  Fixpoint run_steps (T : nat) : (tidx n -> A) * (tidx n -> S) :=
    match T with
    | O => (gather (trained n) start, fun _ => init)
    | Datatypes.S t =>
        let (q, s) := run_steps t in
        let w := tabulated zero (weights_of (trained n) put w0 q) in
        let next := tabulated (zero, init)
          (fun j => step (trained n j) t (q j) (s j) (paca_gradient_of zero add mul n pull (batch_at t) w j)) in
        (fun j => fst (next j), fun j => snd (next j))
    end.
  (** It is the loop of the theorems. *)
  Theorem run_steps_train T : run_steps T = train zero add mul n put pull start w0 init step batch_at T.
  Proof.
    induction T as [| t IH]; simpl; auto; rewrite IH.
    destruct (train zero add mul n put pull start w0 init step batch_at t) as [q s].
    now rewrite !tabulated_same.
  Qed.
End TabulatedLoop.
