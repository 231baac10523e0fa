/* From the reset vector to main, and out by the simulator's exit call. A fault ends with status 100 + EXCCAUSE. */
  .section .reset, "ax"
  .global _reset
_reset:
  j _start

  .section .vec.kernel, "ax"
  j _fault
  .section .vec.user, "ax"
  j _fault
  .section .vec.double, "ax"
  j _fault

  .section .vec.text, "ax"
_fault:
  rsr a3, exccause
  addi a3, a3, 100
  movi a2, 1
  simcall

  .section .text.start, "ax"
  .literal_position
  .align 4
  .global _start
_start:
  movi a0, 0
  wsr a0, intenable
  wsr a0, ps
  rsync
  movi a1, __stack
  movi a2, __bss_start
  movi a3, __bss_end
  movi a4, 0
1:bgeu a2, a3, 2f
  s32i a4, a2, 0
  addi a2, a2, 4
  j 1b
2:movi a12, __init_array_start
  movi a13, __init_array_end
3:bgeu a12, a13, 4f
  l32i a0, a12, 0
  callx0 a0
  addi a12, a12, 4
  j 3b
4:addi a1, a1, -16
  movi a0, main
  callx0 a0
  mov a3, a2
  movi a2, 1
  simcall
