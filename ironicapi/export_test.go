package ironicapi

import "time"

// SetClock makes what is remembered and who has to wait depend on now.
func SetClock(a *BasicAuth, now func() time.Time) { a.now = now }
