;; Made by the differential fuzzer (tests/differential). A value of asyncify's lay on the operand stack across a call that
;; suspends, computed from a local that nothing read later; the local was taken for dead and zeroed.
(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32 i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32 i32) (result i32)))
  (type (;3;) (func (param i32)))
  (type (;4;) (func (result i32)))
  (type (;5;) (func (param i64 i32 i32 i64) (result i32)))
  (type (;6;) (func (param v128 i32 v128 f32) (result f32)))
  (type (;7;) (func (result i64)))
  (type (;8;) (func (param i64)))
  (type (;9;) (func))
  (import "wasi_snapshot_preview1" "sched_yield" (func (;0;) (type 0) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func (;1;) (type 1) (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func (;2;) (type 2) (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func (;3;) (type 3) (param i32)))
  (table (;0;) 16 funcref)
  (memory (;0;) 1 4)
  (global (;0;) (mut i32) i32.const 128)
  (global (;1;) (mut i64) i64.const 6167747292309661060)
  (global (;2;) (mut v128) v128.const i32x4 0x036325e6 0x31ac8a69 0xf3b6dac2 0xf2c7422b)
  (global (;3;) (mut i64) i64.const 2668957446154675079)
  (export "_start" (func 11))
  (export "memory" (memory 0))
  (elem (;0;) (i32.const 0) func 9 4 0 9)
  (elem (;1;) (i32.const 4) func 7 7 7 7)
  (elem (;2;) (i32.const 8) func 10 8 10 8)
  (func (;4;) (type 4) (result i32)
    i32.const 0
    i32.const 16
    i32.store align=1
    i32.const 0
    i32.const 1
    i32.store offset=4 align=1
    i32.const 0
    i32.const 0
    i32.const 1
    i32.const 8
    call 1
    i32.const 1000
    i32.mul
    i32.const 0
    i32.load8_u offset=16
    i32.add
    i32.const 0
    i32.load offset=8 align=1
    i32.const 8
    i32.shl
    i32.add
  )
  (func (;5;) (type 8) (param i64)
    i32.const 0
    local.get 0
    i64.store offset=48 align=1
    i32.const 0
    i32.const 48
    i32.store offset=32 align=1
    i32.const 0
    i32.const 8
    i32.store offset=36 align=1
    i32.const 1
    i32.const 32
    i32.const 1
    i32.const 40
    call 2
    drop
  )
  (func (;6;) (type 9)
    (local i32 i32 i64)
    memory.size
    i32.const 16
    i32.shl
    local.tee 1
    i64.extend_i32_u
    local.set 2
    local.get 1
    if ;; label = @1
      loop ;; label = @2
        local.get 0
        i64.load align=1
        local.get 2
        i64.xor
        i64.const 1099511628211
        i64.mul
        i64.const 23
        i64.rotl
        local.set 2
        local.get 0
        i32.const 8
        i32.add
        local.tee 0
        local.get 1
        i32.lt_u
        br_if 0 (;@2;)
      end
    end
    global.get 0
    i64.extend_i32_u
    local.get 2
    i64.xor
    i64.const 1099511628211
    i64.mul
    i64.const 23
    i64.rotl
    local.set 2
    global.get 1
    local.get 2
    i64.xor
    i64.const 1099511628211
    i64.mul
    i64.const 23
    i64.rotl
    local.set 2
    global.get 2
    i64x2.extract_lane 1
    local.get 2
    i64.xor
    i64.const 1099511628211
    i64.mul
    i64.const 23
    i64.rotl
    local.set 2
    global.get 3
    local.get 2
    i64.xor
    i64.const 1099511628211
    i64.mul
    i64.const 23
    i64.rotl
    local.set 2
    local.get 2
    call 5
  )
  (func (;7;) (type 5) (param i64 i32 i32 i64) (result i32)
    (local i32 i32 f32 v128 i32 i32 i32)
    global.get 0
    i32.eqz
    if ;; label = @1
      i32.const -41
      return
    end
    global.get 0
    i32.const 1
    i32.sub
    global.set 0
    i32.const -59
    i32.const 32752
    i32.and
    i64.load offset=1024 align=1
    call 5
    block ;; label = @1
      i64.const 1938938778651882414
      local.get 5
      local.get 1
      local.get 0
      i32.const 4
      i32.const 3
      i32.and
      i32.const 4
      i32.add
      call_indirect (type 5)
      local.get 1
      i32.add
      br_if 0 (;@1;)
    end
    local.get 3
    call 5
    local.get 1
    local.tee 4
  )
  (func (;8;) (type 6) (param v128 i32 v128 f32) (result f32)
    (local f32 i64 f64 f64 f32 v128 i64 i64 i32 i32)
    global.get 0
    i32.eqz
    if ;; label = @1
      f32.const 0x1.cp+0 (;=1.75;)
      return
    end
    global.get 0
    i32.const 1
    i32.sub
    global.set 0
    local.get 10
    i64x2.splat
    local.tee 2
    local.set 0
    v128.const i32x4 0x5b9b8f15 0xcf080a98 0xc2f83369 0x544feebf
    i32x4.extract_lane 2
    if ;; label = @1
      local.get 4
      local.get 3
      f32.add
      local.get 2
      local.get 1
      v128.const i32x4 0x2dca1dda 0xc9f97a64 0x5a50f419 0xa5ffaaf6
      local.get 3
      call 8
      f32.sub
      local.set 4
    else
      block (result i32) ;; label = @2
        local.get 1
        local.get 1
        local.get 1
        select
        local.get 1
        i32.const 3
        i32.and
        i32.const 0
        i32.add
        call_indirect (type 4)
        br_if 0 (;@2;)
        i64.const 1592205009926673844
        global.set 3
      end
      i32.const 63
      i32.and
      i32.eqz
      if ;; label = @2
        unreachable
      end
      local.get 1
      i64.extend_i32_s
      i64x2.splat
      global.set 2
    end
    local.get 3
  )
  (func (;9;) (type 4) (result i32)
    (local i32 i32 f64 f32 i32 v128 i32 i32)
    global.get 0
    i32.eqz
    if ;; label = @1
      i32.const -72
      return
    end
    global.get 0
    i32.const 1
    i32.sub
    global.set 0
    block ;; label = @1
      local.get 4
      i32.const 32752
      i32.and
      i64.load offset=1024 align=1
      i32.const 16
      i64.extend_i32_s
      i64.sub
      global.set 1
    end
    v128.const i32x4 0xc9000e89 0xccb6501f 0x1a39658e 0xd16dd585
    local.set 5
    local.get 3
    local.get 3
    local.get 0
    select
    local.get 3
    local.get 3
    f32.add
    f32.sub
    i32.trunc_sat_f32_s
    if ;; label = @1
      block (result f64) ;; label = @2
        f64.const -0x1.5238p+11 (;=-2705.75;)
        local.get 4
        br_if 0 (;@2;)
        call 0
        drop
      end
      i64.trunc_sat_f64_s
      call 5
      local.get 5
      i32x4.extract_lane 2
      i64.const 4999954380735100508
      local.get 1
      local.get 1
      i64.const 1710821168747298634
      call 7
      local.get 0
      i32.const 3
      i32.and
      i32.const 0
      i32.add
      call_indirect (type 4)
      select
      br_if 0 (;@1;)
    else
      i32.const -78
      i32x4.splat
      local.get 5
      call 4
      select
      local.set 5
    end
    block ;; label = @1
      block ;; label = @2
        block ;; label = @3
          v128.const i32x4 0x68049767 0x259ab237 0xd60eb674 0xaf456a58
          local.get 5
          i16x8.sub
          global.get 2
          v128.xor
          i32x4.extract_lane 2
          i32.const 3
          i32.and
          br_table 0 (;@3;) 2 (;@1;) 1 (;@2;) 1 (;@2;)
        end
        local.get 1
        if (result i64) ;; label = @3
          i64.const 5754230256042106814
        else
          call 0
          drop
          i64.const 3742696989134183875
        end
        i32.const -74
        block (result i32) ;; label = @3
          local.get 4
          local.get 0
          br_if 0 (;@3;)
          call 0
          drop
        end
        local.get 0
        i64.extend_i32_s
        call 7
        br_if 0 (;@2;)
      end
      global.get 1
      call 5
      i32.const 0
      memory.grow
      drop
    end
    i32.const 48
    local.tee 4
    i32.const 32752
    i32.and
    local.get 0
    i64.extend_i32_s
    i64.const -8376101484582957109
    local.get 2
    i32.trunc_sat_f64_u
    select
    i64.store offset=1024 align=1
    block (result i64) ;; label = @1
      local.get 5
      i64x2.extract_lane 0
      i64.const 1142554333067855867
      i32.wrap_i64
      local.tee 0
      br_if 0 (;@1;)
    end
    block (result i32) ;; label = @1
      f32.const 0x1.5cp+4 (;=21.75;)
      local.get 3
      local.get 4
      select
      i32.trunc_sat_f32_s
      i32.const 27
      br_if 0 (;@1;)
      i64.const -8698168333701797580
      call 5
    end
    local.get 4
    i64.extend_i32_s
    i64.const 738996168684673565
    i64.const 5811211414417445303
    local.get 1
    select
    i64.const -782495742105722354
    local.get 1
    local.get 0
    i64.const -5308732147243284554
    local.get 4
    i32.const 3
    i32.and
    i32.const 4
    i32.add
    call_indirect (type 5)
    select
    call 4
    if (result i32) ;; label = @1
      i64.const -9134122930616003390
      i32.const 83
      local.get 0
      i64.const -2373922572654047540
      local.get 1
      i32.const 3
      i32.and
      i32.const 4
      i32.add
      call_indirect (type 5)
    else
      i32.const -87
      if ;; label = @2
        call 0
        drop
        call 0
        drop
        call 0
        drop
      else
        call 0
        drop
        call 0
        drop
      end
      i64.const -4683999326610177112
      i32.wrap_i64
    end
    local.get 0
    local.get 4
    i32.add
    local.get 2
    local.tee 2
    i64.trunc_sat_f64_s
    call 7
    i64.const 132989619276573229
    local.get 5
    i32x4.extract_lane 2
    i64.const 257443913334825224
    i32.wrap_i64
    i32.mul
    i32.const 3
    i32.and
    i32.const 4
    i32.add
    call_indirect (type 5)
    local.set 1
    call 0
    if (result f32) ;; label = @1
      local.get 3
      local.get 3
      f32.sub
    else
      local.get 5
      global.set 2
      f32.const 0x1.ep+1 (;=3.75;)
      f32.const 0x1.e8p+3 (;=15.25;)
      f32.mul
    end
    i32.trunc_sat_f32_s
  )
  (func (;10;) (type 6) (param v128 i32 v128 f32) (result f32)
    (local f64 i32 f64 f32 v128 f64 f32 i32 i32 i32 i32)
    global.get 0
    i32.eqz
    if ;; label = @1
      f32.const -0x1.88p+3 (;=-12.25;)
      return
    end
    global.get 0
    i32.const 1
    i32.sub
    global.set 0
    local.get 0
    local.get 12
    local.get 11
    i32.xor
    local.get 2
    local.get 8
    i16x8.sub
    f32.const -0x1.2p+3 (;=-9;)
    local.tee 3
    call 8
    local.get 8
    local.get 12
    local.get 0
    local.get 3
    local.get 7
    f32.add
    local.get 2
    i32x4.extract_lane 2
    i32.const 3
    i32.and
    i32.const 8
    i32.add
    call_indirect (type 6)
    f32.add
    local.set 10
    i32.const 1
    memory.grow
    drop
    local.get 10
  )
  (func (;11;) (type 9)
    call 9
    i64.extend_i32_u
    call 5
    call 6
  )
)

