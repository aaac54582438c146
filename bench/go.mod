// The load generator and the null worker: standard library only.
module bench

go 1.24
