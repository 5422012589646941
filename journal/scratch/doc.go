// Package scratch provides a server that holds a journal at a point, for reading single keys: a
// private one, started for the purpose and removed afterwards, or one that the caller names.
//
//	s, err := scratch.Rebuild(ctx, scratch.Options{}, replay.RestoreOptions{View: view, Plan: plan})
//	if err != nil { … }
//	defer s.Close()
//	source, err := keyspace.Open(ctx, s.Endpoint)
//
// A private server listens on a unix socket in a folder that only this user can enter, and on no
// port. It persists nothing, and has a lower priority than other processes. On Linux the kernel ends it with this process, however that ends;
// elsewhere a process that is killed leaves it running. The next scratch server in the same place
// removes the folder of a killed process.
//
// Close must be called, even after the end of the context that Rebuild was given.
package scratch
