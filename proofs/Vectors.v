(** Golden vectors, computed by Coq in IEEE doubles from the very definitions that the theorems are about: the lane order,
    the kernels of a layer, and the training loop with PaCA, gradient accumulation and AdamW.  The loop needs a network to
    run on: its bias, ReLU and squared error are written here, for floats, as the theorems have them over the reals only. Of
    softmax, attention, norms, SwiGLU, rope and cross-entropy there are no vectors here.  Each [Eval] is one array of
    vectors/proofs (see vectors.sh); the f64 reference in TypeScript must give the same bits. *)
From Coq Require Import List String Floats.
From Coq Require Fin Uint63.
From PaCA Require Import Finite Reduction Lanes GatherScatter Optimizer Adamw Linear Network Loop Tabulated.
Import ListNotations.

Open Scope float_scope.

(** ** Inputs: sevenths between -8 and 8, which have no short binary form. *)
Definition draw (seed k : nat) : float :=
  (of_uint63 (Uint63.of_Z (BinInt.Z.of_nat (Nat.modulo (k * 37 + seed * 53 + k * k * 11) 113))) - 56) / 7.
Definition at_2 {m} (n : nat) (seed : nat) (p : Fin.t m * Fin.t n) : float :=
  draw seed (place (fst p) * n + place (snd p)).

Definition row_of {n} (f : Fin.t n -> float) : list float := map f (enum (Fin.t n)).
Definition rows_of {m n} (f : Fin.t m * Fin.t n -> float) : list float := map f (enum (Fin.t m * Fin.t n)).

(** ** The lane order: 3 rows of 37 *)
Definition long : Fin.t 3 * Fin.t 37 -> float := at_2 37 1.
Definition long_sums : Fin.t 3 -> float := fun i => red 0 add lane_order (fun j => long (i, j)).

(** ** A layer: 5 rows, 7 inputs, 3 outputs, columns 2 and 5, s = 0.7 *)
Definition scale := 0.7.
Definition put_float {I} (w0 : I -> float) (i : I) (d : float) : float := w0 i + d * scale.
Definition pull_float {I} (_ : I) (g : float) : float := g * scale.

Fixpoint fin (n k : nat) : Fin.t (S n) :=
  match n, k with S n, S k => Fin.FS (fin n k) | _, _ => Fin.F1 end.
Definition columns (n a b : nat) (k : Fin.t 2) : Fin.t (S n) := match place k with O => fin n a | _ => fin n b end.

Definition x : Fin.t 5 * Fin.t 7 -> float := at_2 7 2.
Definition weight : Fin.t 3 * Fin.t 7 -> float := at_2 7 3.
Definition dy : Fin.t 5 * Fin.t 3 -> float := at_2 3 4.
Definition delta : Fin.t 3 * Fin.t 2 -> float := at_2 2 5.
Definition chosen := columns 6 2 5.
Definition effective := tabulated 0 (weights_of (colmap chosen) (put_float weight) weight delta).
Definition y := forward 0 add mul sequential effective x.
Definition dx := grad_X 0 add mul sequential dy effective.
Definition dw := grad_W 0 add mul sequential dy x.
Definition ddelta := fun p => pull_float p (grad_W 0 add mul sequential dy (gather (colmap chosen) x) p).

(** ** Training: 3 inputs, 5 hidden, 2 outputs, three micro-batches of 3 rows at each step, ReLU, squared error, AdamW

    Three, as two numbers add up to the same in either order. *)
Definition ford (n : nat) : ftype := F (Fin.t n) _.
Definition rows := ford 3.
Definition bias_net {O : ftype} (b : O -> float) : net (A := float) (fprod rows O) (fprod rows O) :=
  Map (C := fprod rows O) (D := fprod rows O) (fun x => tabulated 0 (fun p => x p + b (snd p))) (fun _ dy => dy).
Definition relu_net {O : ftype} : net (A := float) (fprod rows O) (fprod rows O) :=
  Map (C := fprod rows O) (D := fprod rows O) (fun x p => if (x p <? 0)%float then 0 else x p)
    (fun x dy => tabulated 0 (fun p => if (0 <? x p)%float then dy p else 0)).
(** Large enough that most numbers are positive, and not all: so ReLU passes on several rows. *)
Definition bias1 : ford 5 -> float := fun o => 4 + draw 6 (place o) / 8.
Definition bias2 : ford 2 -> float := fun o => draw 7 (place o) / 8.
Definition network : net (A := float) (fprod rows (ford 3)) (fprod rows (ford 2)) :=
  Seq (Linear (B := rows) (O := ford 5) (C := ford 3) (K := ford 2) sequential sequential sequential (columns 2 0 2))
    (Seq (bias_net bias1)
      (Seq relu_net
        (Seq (Linear (B := rows) (O := ford 2) (C := ford 5) (K := ford 2) sequential sequential sequential (columns 4 1 4))
          (bias_net bias2)))).
Definition weight1 : Fin.t 5 * Fin.t 3 -> float := fun p => at_2 3 8 p / 8.
Definition weight2 : Fin.t 2 * Fin.t 5 -> float := fun p => at_2 5 9 p / 8.
Definition pretrained : widx network -> float :=
  both weight1 (both (fun e : Empty_set => match e with end) (both (fun e : Empty_set => match e with end)
    (both weight2 (fun e : Empty_set => match e with end)))).

Definition input_of (step micro : nat) : fprod rows (ford 3) -> float := at_2 3 (10 + 3 * step + micro).
Definition target_of (step micro : nat) : fprod rows (ford 2) -> float := at_2 2 (30 + 3 * step + micro).
Definition denominator := 18.
Definition batch_of (step : nat) : batch float (fprod rows (ford 3)) (fprod rows (ford 2)) :=
  {| micro := ford 3;
     added := accumulation_order;
     input := fun m => input_of step (place m);
     dloss := fun m Y => tabulated 0 (fun p => (Y p - target_of step (place m) p) * (1 * 2 / denominator)) |}.

(** What decay pulls towards: any numbers but 0. *)
Definition target1 : Fin.t 5 * Fin.t 3 -> float := at_2 3 51.
Definition target2 : Fin.t 2 * Fin.t 5 -> float := at_2 5 52.
Definition decay_target : widx network -> float :=
  both target1 (both (fun e : Empty_set => match e with end) (both (fun e : Empty_set => match e with end)
    (both target2 (fun e : Empty_set => match e with end)))).

Fixpoint running (b : float) (t : nat) : float := match t with O => 1 | S t => running b t * b end.
Definition coefficients_at (t : nat) : coefficients float :=
  {| learning_rate := 0.05; Adamw.beta1 := 0.9; Adamw.beta2 := 0.999; epsilon := 1e-8; decay := 0.1;
     correction1 := 1 - running 0.9 t * 0.9; correction2 := 1 - running 0.999 t * 0.999 |}.
Definition trained_after (T : nat) :=
  run_steps 0 add mul network (put_float pretrained) pull_float (fun _ => 0) pretrained (0, 0)
    (adamw_step 1 add sub mul div sqrt opp decay_target coefficients_at) batch_of T.
Definition delta1_after T :=
  let d := fst (trained_after T) in rows_of (m := 5) (n := 2) (fun p => d (inl p)).
Definition delta2_after T :=
  let d := fst (trained_after T) in rows_of (m := 2) (n := 2) (fun p => d (inr (inr (inr (inl p))))).
Definition moments_after T := let s := snd (trained_after T) in map s (enum (tidx network)).

(** The micro-batches of all steps, one after the other. *)
Definition all_micro (of : nat -> nat -> list float) : list float :=
  flat_map (fun t => flat_map (of t) [0; 1; 2]%nat) [0; 1; 2; 3]%nat.

Set Printing Width 1000000.
Set Printing Depth 1000000.
Eval vm_compute in ("lanes.x"%string, rows_of long).
Eval vm_compute in ("lanes.sum"%string, row_of long_sums).
Eval vm_compute in ("layer.x"%string, rows_of x).
Eval vm_compute in ("layer.weight"%string, rows_of weight).
Eval vm_compute in ("layer.dy"%string, rows_of dy).
Eval vm_compute in ("layer.delta"%string, rows_of delta).
Eval vm_compute in ("layer.effective"%string, rows_of effective).
Eval vm_compute in ("layer.y"%string, rows_of y).
Eval vm_compute in ("layer.dx"%string, rows_of dx).
Eval vm_compute in ("layer.dw"%string, rows_of dw).
Eval vm_compute in ("layer.ddelta"%string, rows_of ddelta).
Eval vm_compute in ("training.weight1"%string, rows_of weight1).
Eval vm_compute in ("training.bias1"%string, row_of bias1).
Eval vm_compute in ("training.weight2"%string, rows_of weight2).
Eval vm_compute in ("training.bias2"%string, row_of bias2).
Eval vm_compute in ("training.target1"%string, rows_of (gather (colmap (columns 2 0 2)) target1)).
Eval vm_compute in ("training.target2"%string, rows_of (gather (colmap (columns 4 1 4)) target2)).
Eval vm_compute in ("training.inputs"%string, all_micro (fun t m => rows_of (input_of t m))).
Eval vm_compute in ("training.targets"%string, all_micro (fun t m => rows_of (target_of t m))).
Eval vm_compute in ("training.delta1"%string, flat_map delta1_after [1; 2; 3; 4]%nat).
Eval vm_compute in ("training.delta2"%string, flat_map delta2_after [1; 2; 3; 4]%nat).
Eval vm_compute in ("training.m"%string, map fst (moments_after 4)).
Eval vm_compute in ("training.v"%string, map snd (moments_after 4)).
