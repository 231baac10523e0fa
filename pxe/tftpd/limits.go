package tftpd

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what clients can make the server do. Zero fields take the
// defaults named beside them.
type Limits struct {
	// PerClient is how many transfers one registered machine may have open
	// (16). A Pi has one at a time; what it leaves behind when its power is
	// cut lingers until it is given up.
	PerClient int
	// Total is how many transfers all registered machines together may have
	// open (512).
	Total int
	// Strangers is how many transfers all other addresses together may have
	// open (16), and PerStranger how many one of them may (4).
	Strangers   int
	PerStranger int
	// ClientRate is how many requests a second one registered machine may make
	// in the long run, with bursts of four seconds' worth (250). A boot makes
	// about 40.
	ClientRate float64
	// StrangerRate is the same for all other addresses together (100).
	StrangerRate float64
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.PerClient, 16)
	set(&l.Total, 512)
	set(&l.Strangers, 16)
	set(&l.PerStranger, 4)
	if l.ClientRate <= 0 {
		l.ClientRate = 250
	}
	if l.StrangerRate <= 0 {
		l.StrangerRate = 100
	}
	return l
}

const burstSeconds = 4

// maxQuiet is how many registered addresses without open transfers are
// remembered. Beyond it their rates start afresh.
const maxQuiet = 1024

// admission counts what is open and decides what may start.
type admission struct {
	limits Limits

	mu        sync.Mutex
	total     int
	strangers int
	each      map[netip.Addr]int // open transfers of each stranger that has some
	rate      *rate.Limiter      // of strangers
	clients   map[netip.Addr]*clientUse
}

type clientUse struct {
	open int
	rate *rate.Limiter
}

func newAdmission(l Limits) *admission {
	l = l.withDefaults()
	return &admission{
		limits:  l,
		rate:    newRate(l.StrangerRate),
		each:    make(map[netip.Addr]int),
		clients: make(map[netip.Addr]*clientUse),
	}
}

func newRate(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), int(perSecond*burstSeconds)+1)
}

// enter asks for one more transfer of an address. If it says no, the reason is
// given. Each enter that is granted is ended by one leave.
func (a *admission) enter(client netip.Addr, known bool, now time.Time) (reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !known {
		switch {
		case a.strangers >= a.limits.Strangers:
			return "too many open transfers of unregistered clients"
		case a.each[client] >= a.limits.PerStranger:
			return "too many open transfers of this client"
		case !a.rate.AllowN(now, 1):
			return "too many requests of unregistered clients"
		}
		a.strangers++
		a.each[client]++
		return ""
	}
	use := a.clients[client]
	if use == nil {
		a.forgetQuiet()
		use = &clientUse{rate: newRate(a.limits.ClientRate)}
		a.clients[client] = use
	}
	switch {
	case use.open >= a.limits.PerClient:
		return "too many open transfers of this client"
	case a.total >= a.limits.Total:
		return "too many open transfers"
	case !use.rate.AllowN(now, 1):
		return "too many requests of this client"
	}
	use.open++
	a.total++
	return ""
}

func (a *admission) leave(client netip.Addr, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !known {
		a.strangers--
		if a.each[client]--; a.each[client] == 0 {
			delete(a.each, client)
		}
		return
	}
	a.total--
	if use := a.clients[client]; use != nil {
		use.open--
	}
}

func (a *admission) forgetQuiet() {
	if len(a.clients) < maxQuiet {
		return
	}
	for addr, use := range a.clients {
		if use.open == 0 {
			delete(a.clients, addr)
		}
	}
}
