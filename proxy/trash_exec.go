package proxy

import (
	"strconv"
	"time"

	"holdfast/proxy/audit"
	"holdfast/proxy/resp"
)

// In a transaction data goes to the trash at EXEC, and the script's reply goes to the client. So
// the script stores the entry's id under a mark, and the proxy fetches it after EXEC's reply. Only
// then does the audit log record the entry: a discarded command never ran.

// queuedTrash is one audit record that awaits EXEC's reply.
type queuedTrash struct {
	mark  string
	entry audit.Entry
}

// marksAsked is the number of ids that one script fetches.
const marksAsked = 1000

// newMark is a name that no other command has.
func (s *session) newMark() string {
	return strconv.FormatUint(s.id, 36) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" +
		strconv.Itoa(len(s.tx.trash))
}

// noteAtExec is note for a command in a transaction.
func (j *trashJob) noteAtExec() {
	s := j.s
	if s.again.waited {
		return
	}
	s.w.counters.Rules[j.rule.Index].Trashed++
	s.tx.trash = append(s.tx.trash, queuedTrash{
		j.mark, j.auditEntry(j.rule, trashed),
	})
}

// tellTrashed records in the audit log the data that a transaction moved to the trash. ran is false
// if the link broke and the outcome is unknown.
func (w *worker) tellTrashed(list []queuedTrash, ran bool) {
	if !ran {
		w.putTrashed(list, nil)
		return
	}
	for len(list) > 0 {
		n := min(len(list), marksAsked)
		page := list[:n]
		list = list[n:]
		marks := make([]string, n)
		for i := range page {
			marks[i] = page[i].mark
		}
		w.runTrash(scriptTold, marks, func(v *resp.Value, err error) {
			if err != nil {
				w.log.Debug("the ids of what is in the trash are not known", "error", err)
				v = nil
			}
			w.putTrashed(page, v)
		})
	}
}

// putTrashed hands lines to the audit log, with the known ids.
func (w *worker) putTrashed(list []queuedTrash, ids *resp.Value) {
	for i := range list {
		e := list[i].entry
		if ids != nil && i < len(ids.Elems) {
			e.Trash = string(ids.Elems[i].Str)
		}
		w.srv.audit.Put(e)
	}
}
