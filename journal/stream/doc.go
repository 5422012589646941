// Package stream finds the commands and transactions in a replication stream: where each begins
// and ends, which database it runs in, and where a copy of the stream may be cut. It owns the
// stream's grammar and nothing else: it reads no files and knows no timelines.
//
// A primary sends its replicas commands as RESP arrays of bulk strings, with SELECT where the
// database changes, MULTI and EXEC around a transaction, and now and then PING and REPLCONF GETACK.
// A bare newline and inline commands are accepted too: servers understand them from a primary.
//
// A Scanner belongs to one goroutine.
package stream
