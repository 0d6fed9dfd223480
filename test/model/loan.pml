/* SPDX-License-Identifier: BSD-2-Clause
 * The loan, as kernel/bsd has it: state and critical sections. Every inline and label that is not named m_* bears the
 * name of the function whose part it is; README.md says what is modelled and how to read a trail.
 * One atomic or d_step is one critical section under proc_tree_lock (or under the signal lock inside it).
 */
#ifndef NP
#define NP 4 /* procs: 0 is init, 1 the lender's, the others are born in the run */
#endif
#ifndef NX
#define NX 1 /* uthreads beyond the first of each proc */
#endif
#ifndef NT
#define NT 5 /* Mach threads */
#endif
#define NU (NP + NX)
#define NONE 255

/* How often each thing may happen in a run. */
#ifndef VFORKS
#define VFORKS 0
#endif
#ifndef PPWAITS
#define PPWAITS 0 /* CLONE_VFORK without CLONE_VM: the creator's own thread sleeps */
#endif
#ifndef CLONES
#define CLONES 0 /* threads made, by whoever runs */
#endif
#ifndef SIBLINGS
#define SIBLINGS 0 /* further uthreads of proc 1 from the start */
#endif
#ifndef LENDER_EXECS
#define LENDER_EXECS 0
#endif
#ifndef LENDER_EXITS
#define LENDER_EXITS 0
#endif
#ifndef EXEC_FAILURES
#define EXEC_FAILURES 0
#endif
#ifndef NOMEMS
#define NOMEMS 0 /* failed allocations of loan_give */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef TERMS
#define TERMS 0 /* a fatal signal that a stop holds back */
#endif
#ifndef USR1S
#define USR1S 0 /* caught, to one uthread */
#endif
#ifndef CHLDS
#define CHLDS 0 /* 1: SIGCHLD is caught by proc 1 */
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef TSTPS
#define TSTPS 0
#endif

/* Uthread::state */
#define EMBRYO 0
#define EXECUTING 1
#define PARKED 2
#define DEAD 3
/* Proc::state; DEAD once reaped */
#define ACTIVE 1
#define ZOMBIE 2
/* VforkLoan::state */
#define PREPARED 0
#define LENT 1
#define AWAITED 2
#define RELEASED 3
/* signals */
#define TERM 1
#define CHLD 2
#define STOP 4
#define TSTP 8
#define STOP_SIGNALS 12
#define KILL 16
#define CONT 32
#define USR1 64
/* wait status */
#define RUNNING 0
#define EXITED 1
#define KILLED 2
/* what became of a lender (ghost) */
#define WAITS 1
#define RESUMED 2

/* ---- Thread ---- */
byte exec_as[NT] = NONE; /* Thread::uthread */
byte task_of[NT] = NONE; /* Thread::task: the proc that owns it */
byte ast[NT];            /* Thread::interrupt_level */
bit asleep[NT];          /* in loan_wait, and nobody has woken it */
byte frame[NT] = NONE;   /* whose user registers the trap frame holds */
byte result[NT] = NONE;  /* the pid that vfork is about to return */
byte next_thread;

/* ---- Uthread; u < NP is the first one of proc u ---- */
byte uproc[NU] = NONE;
byte ustate[NU];
byte uthread_on[NU] = NONE; /* Uthread::thread */
byte lent[NU] = NONE;       /* Uthread::lent, by the loan's child */
byte parked_frame[NU] = NONE;
bit upend[NU];    /* SIGUSR1 in Uthread::sig.pending */
bit ustopped[NU]; /* Uthread::sig.stopped */
byte next_uthread;

/* ---- Proc ---- */
byte pstate[NP];
byte parent[NP];
byte ucount[NP];
bit has_task[NP];        /* Proc::task */
byte tmap[NP];           /* the map of that task */
byte pend[NP];           /* Proc::sig.shared */
bit group_exited[NP];    /* Proc::sig.group_exit */
byte group_status[NP];
byte survivor[NP] = NONE; /* Proc::sig.exec_survivor */
bit stopping[NP];
bit recall_wanted[NP];
bit recalls_wanted;
byte next_proc;

/* ---- VforkLoan, by its child; Proc::loan is has_loan ---- */
bit has_loan[NP];
byte lstate[NP];
byte lender[NP] = NONE;
byte lthread[NP] = NONE;
#define loan_is_borrower(p) (has_loan[p] && lstate[p] == LENT)

/* ---- ghosts: what the properties need to remember, the kernel does not ---- */
byte mem[NP];        /* the map a proc must run in */
bit committed[NP];   /* its exec is in effect: close-on-exec, credentials, name, handlers */
bit execed[NP];      /* and its new thread exists */
bit torn_down[NP];   /* descriptors closed */
byte status[NP];     /* wait status once zombie */
bit asked[NP];       /* it called exit itself */
bit told[NP];        /* somebody sent it a fatal signal */
bit stop_sent[NP];
bit chld_sent[NP];   /* SIGCHLD for its end was queued */
byte due[NP];        /* what became of the lender of its loan */
byte whose[NP];      /* and who that was */
byte ends[NP];       /* how often its loan ended */
byte recalling = NONE; /* the proc that the service thread has in hand */
byte meant_for[NU] = NONE; /* whom the SIGUSR1 in upend was sent to */
bit cont_due[NP];

byte vforks = VFORKS, ppwaits = PPWAITS, clones = CLONES, lender_execs = LENDER_EXECS, lender_exits = LENDER_EXITS;
byte exec_failures = EXEC_FAILURES, nomems = NOMEMS;

/* Live inside one step only, so no part of the state; but a search by breadth does not know hidden variables. */
#ifdef BY_BREADTH
byte i, j, k, hu, hp, hl, hd, hn;
#else
hidden byte i, j, k, hu, hp, hl, hd, hn;
#endif

/* ---- signals: signal_impl.hpp, sigacts.cpp, signal_send.cpp ------------------------------------------------------- */
#define must_end(u) (group_exited[uproc[u]] || (survivor[uproc[u]] != NONE && survivor[uproc[u]] != u))
#ifdef MISTAKE_TSTP_NOT_DEFERRED /* BS-14: a borrower stops at once on SIGTSTP */
#define loan_defers_signal(p) 0
#else
#define loan_defers_signal(p) (has_loan[p])
#endif
#define m_takes(u, set) ((set) & ~(TSTP * loan_defers_signal(uproc[u])))
#define m_deliverable(u) (upend[u] || m_takes(u, pend[uproc[u]]) != 0)
#define needed_level(u) (must_end(u) + (must_end(u) || (stopping[uproc[u]] && !ustopped[u]) || m_deliverable(u)))

inline thread_interrupt(t_, level_) {
    if
    :: ast[t_] < level_ -> ast[t_] = level_
    :: else
    fi
#ifndef MISTAKE_WAIT_NOT_KILLABLE /* NB-47: only the release ends the lender's sleep */
    if
    :: level_ == 2 -> asleep[t_] = 0
    :: else
    fi
#endif
}

/* Of the current thread; a new thread starts from 0. */
inline signal_recalculate(u_) {
    if
    :: uthread_on[u_] != NONE ->
        ast[uthread_on[u_]] = needed_level(u_);
        if
        :: ast[uthread_on[u_]] == 2 -> asleep[uthread_on[u_]] = 0
        :: else
        fi
    :: else
    fi
}

/* Of another's thread: only ever raises. */
inline m_recalculate_other(u_) {
    if
    :: uthread_on[u_] != NONE -> thread_interrupt(uthread_on[u_], needed_level(u_))
    :: else
    fi
}

inline loan_recall(p_) {
    recall_wanted[p_] = 1;
    recalls_wanted = 1
}

inline group_exit(p_, status_) {
    if
    :: !group_exited[p_] ->
        group_exited[p_] = 1;
        group_status[p_] = status_;
        stopping[p_] = 0;
        for (i : 0 .. NU - 1) {
            if
            :: uproc[i] == p_ && ustate[i] == EXECUTING && uthread_on[i] != NONE -> thread_interrupt(uthread_on[i], 2)
            :: uproc[i] == p_ && ustate[i] == PARKED ->
#ifdef MISTAKE_W6 /* the lent thread is torn down; its borrower "exited with 0", the loan is left as it was */
                group_exited[lent[i]] = 1;
                group_status[lent[i]] = EXITED;
                ast[lthread[lent[i]]] = 2
#elif !defined(MISTAKE_EXIT_NO_RECALL) /* LX-13: the parked one never learns that its proc ends */
                loan_recall(p_)
#else
                skip
#endif
            :: else
            fi
        }
    :: else
    fi
}

/* Whether the uthread could be woken to take a signal now. */
#define wants(u, blocked_)                                                                                             \
    (ustate[u] == EXECUTING && !(blocked_) && !(ustopped[u] && stopping[uproc[u]]) && ast[uthread_on[u]] == 0)
/* In a stop nobody looks before SIGCONT. */
#define dies_of(u)                                                                                                     \
    (ustate[u] != DEAD && ustate[u] != EMBRYO && !(stopping[uproc[u]] && (ustopped[u] || ustate[u] == PARKED)))

inline resume(p_) {
    pend[p_] = pend[p_] & ~STOP_SIGNALS;
    if
    :: stopping[p_] ->
        stopping[p_] = 0;
        if
        :: pend[p_] & TERM -> group_exit(p_, KILLED)
        :: else
        fi
    :: else
    fi
}

/* To a proc. */
inline signal_send_locked(p_, signo_) { /* and signal_queue_locked, notify, is_fatal */
    if
    :: pstate[p_] != ACTIVE || group_exited[p_] -> skip
    :: else ->
        if
        :: signo_ == CONT -> resume(p_)
        :: signo_ == KILL -> group_exit(p_, KILLED)
        :: signo_ != CONT && signo_ != KILL && (pend[p_] & signo_) -> skip /* coalesced */
        :: else ->
            pend[p_] = pend[p_] | signo_;
            /* notify */
            hd = 0;
            if
            :: signo_ == TERM ->
                for (i : 0 .. NU - 1) {
                    if
                    :: uproc[i] == p_ && dies_of(i) -> hd = 1
                    :: else
                    fi
                }
            :: else
            fi;
            if
            :: hd -> group_exit(p_, KILLED)
            :: else ->
                for (i : 0 .. NU - 1) {
                    if
                    :: !hd && uproc[i] == p_ && wants(i, signo_ == TSTP && loan_defers_signal(p_)) ->
                        thread_interrupt(uthread_on[i], 1);
                        hd = 1
                    :: else
                    fi
                }
            fi
        fi
    fi
}

/* SIGUSR1 to one uthread. */
inline m_signal_uthread(u_) {
    hp = uproc[u_];
    hu = u_;
#ifdef MISTAKE_W1 /* pending sets and masks stay with the lent thread, whoever it executes as */
    if
    :: ustate[u_] == PARKED -> hu = exec_as[lthread[lent[u_]]]
    :: else
    fi;
#endif
    if
    :: pstate[hp] != ACTIVE || group_exited[hp] || upend[hu] -> skip
    :: else ->
        upend[hu] = 1;
        meant_for[hu] = u_;
        if
        :: wants(hu, 0) -> thread_interrupt(uthread_on[hu], 1)
        :: else
        fi
    fi
}

inline begin_stop(p_) {
    hp = p_;
#ifdef MISTAKE_W2 /* the borrower's task is its lender's, so that is what stops */
    if
    :: loan_is_borrower(p_) -> hp = task_of[lthread[p_]]
    :: else
    fi;
#endif
    if
    :: !stopping[hp] ->
        stopping[hp] = 1;
        for (i : 0 .. NU - 1) {
            if
            :: uproc[i] == hp && ustate[i] == EXECUTING && uthread_on[i] != NONE -> thread_interrupt(uthread_on[i], 1)
            :: else
            fi
        }
    :: else
    fi
}

/* ---- tasks --------------------------------------------------------------------------------------------------------- */
inline task_leave(t_) { task_of[t_] = NONE }

/* The last reference goes: no thread may be inside. */
inline m_task_reset(p_) {
    has_task[p_] = 0;
    for (k : 0 .. NT - 1) {
        assert(task_of[k] != p_) /* property: a task outlives its threads */
    };
    k = 0
}

inline m_new_thread(n_) {
    n_ = next_thread;
    next_thread++;
    assert(n_ < NT) /* the bounds of this configuration are large enough */
}

/* ---- vfork.cpp ------------------------------------------------------------------------------------------------------ */

/* The loan's first rule, after every transition. */
inline loan_check_locked() {
    for (k : 0 .. NU - 1) {
        if
        :: ustate[k] == EXECUTING ->
            assert(uthread_on[k] != NONE && exec_as[uthread_on[k]] == k); /* property: an identity is on its one thread */
            assert(lent[k] == NONE || lstate[lent[k]] == AWAITED)
        :: ustate[k] == PARKED ->
            assert(uthread_on[k] == NONE && lent[k] != NONE); /* property: parked once, or executing, or dead */
            assert(has_loan[lent[k]] && lstate[lent[k]] == LENT && lender[lent[k]] == k)
        :: else -> assert(ustate[k] == EMBRYO || uthread_on[k] == NONE)
        fi
    }
    for (k : 0 .. NT - 1) {
        if /* property: a thread has one identity, and that one knows it */
        :: exec_as[k] != NONE -> assert(ustate[exec_as[k]] == EXECUTING && uthread_on[exec_as[k]] == k)
        :: else
        fi
    }
    for (k : 0 .. NP - 1) {
        if
        :: pstate[k] == ACTIVE && loan_is_borrower(k) -> assert(!has_task[k] && exec_as[lthread[k]] != NONE)
        :: else
        fi
    };
    k = 0 /* a step must not end with a loop */
}

/* After everything that ends a uthread, or may have forgotten one. */
inline m_check_ends() {
#ifndef MISTAKE_W6 /* which is about what follows */
    for (k : 0 .. NU - 1) {
        if
        :: ustate[k] == PARKED ->
            /* property: a parked uthread that must end is being recalled */
            assert(!must_end(k) || recall_wanted[uproc[k]] || recalling == uproc[k])
        :: ustate[k] == EXECUTING ->
            assert(!must_end(k) || !asleep[uthread_on[k]]) /* property: a lender that must end is not left asleep */
        :: else
        fi
    };
#endif
    k = 0
}

inline loan_open_locked(c_, t_) {
    hu = exec_as[t_];
    lender[c_] = hu;
    lthread[c_] = t_;
    lstate[c_] = LENT;
    has_loan[c_] = 1;
    parked_frame[hu] = frame[t_];
    lent[hu] = c_;
    ustate[hu] = PARKED;
    uthread_on[hu] = NONE;
    ustate[c_] = EXECUTING;
    uthread_on[c_] = t_;
    exec_as[t_] = c_;
    frame[t_] = c_;
    due[c_] = WAITS;
    whose[c_] = hu
}

inline loan_expect_locked(c_, t_) {
    hu = exec_as[t_];
    lender[c_] = hu;
    lstate[c_] = AWAITED;
    has_loan[c_] = 1;
    lent[hu] = c_;
    due[c_] = WAITS;
    whose[c_] = hu
}

/* Sets hd: the thread was handed back. hu is the lender. */
inline loan_release_locked(c_, t_) {
    hd = 0;
    if
    :: has_loan[c_] ->
        has_loan[c_] = 0;
        hl = lstate[c_];
        lstate[c_] = RELEASED;
        ends[c_]++;
        assert(ends[c_] == 1); /* property: a loan ends once */
        hu = lender[c_];
        lender[c_] = NONE;
        if
        :: hu != NONE ->
            assert(ustate[hu] != DEAD); /* property: a loan never names a lender that ended */
            lent[hu] = NONE
        :: else
        fi;
        if
        :: hl == AWAITED ->
#ifdef MISTAKE_NB46 /* the parent's channel is woken; a child of FORK_NOWAIT has another parent than its creator */
            if
            :: hu != NONE && uproc[hu] == parent[c_] -> asleep[uthread_on[hu]] = 0
            :: else
            fi
#else
            if
            :: hu != NONE -> asleep[uthread_on[hu]] = 0
            :: else
            fi
#endif
        :: else ->
            assert(hl == LENT && lthread[c_] == t_); /* property: only the lent thread hands itself back */
            uthread_on[c_] = NONE;
            exec_as[t_] = hu;
            uthread_on[hu] = t_;
            ustate[hu] = EXECUTING;
            lthread[c_] = NONE;
#ifndef MISTAKE_W7 /* the snapshot is missing: the lender returns with the borrower's registers */
            frame[t_] = parked_frame[hu];
#endif
            result[t_] = c_;
            parked_frame[hu] = NONE;
#ifndef MISTAKE_RELEASE_NO_RECALCULATE /* what came for the lender meanwhile is not looked at */
            signal_recalculate(hu);
#else
            ast[t_] = 0;
#endif
            hd = 1
        fi
    :: else
    fi
}

/* The critical section of loan_give; c_ is the loan, hn the fresh thread or NONE if it is lent no more. map_: what
 * task->map was when the new task was made. */
inline loan_give(c_, map_) {
    hn = NONE;
    if
#ifndef MISTAKE_GIVE_NO_SECOND_LOOK /* released while memory was allocated, given all the same */
    :: lstate[c_] != LENT -> skip
#endif
    :: else ->
        m_new_thread(hn);
        i = lthread[c_];
        hl = task_of[i];
        assert(hl != NONE && has_task[hl] && tmap[hl] == map_); /* property: a gift shares the map that was lent */
        task_of[i] = c_;
        has_task[c_] = 1;
        tmap[c_] = map_;
        task_of[hn] = hl;
        hu = lender[c_];
        ustate[hu] = EXECUTING;
        uthread_on[hu] = hn;
        exec_as[hn] = hu;
        frame[hn] = parked_frame[hu];
        result[hn] = c_;
        parked_frame[hu] = NONE;
#ifndef MISTAKE_GIFT_KEEPS_OUTER /* the loans below in the stack still name the thread that was given away */
        for (j : 0 .. NP - 1) {
            hp = uproc[hu];
            if
            :: hu == hp && loan_is_borrower(hp) ->
                lthread[hp] = hn;
                hu = lender[hp]
            :: else
            fi
        };
        hu = lender[c_];
#endif
        lthread[c_] = NONE;
        lstate[c_] = AWAITED;
        ast[hn] = 0;
        m_recalculate_other(hu);
        loan_check_locked()
    fi
}

/* ---- exit.cpp -------------------------------------------------------------------------------------------------------- */
inline proc_reap_locked(p_) {
    pstate[p_] = DEAD;
    parent[p_] = 0
}

inline proc_report_end_locked(p_) {
    chld_sent[p_] = 1;
    if
    :: parent[p_] == 0 -> proc_reap_locked(p_)
    :: else ->
        if
        :: CHLDS && !execed[parent[p_]] -> hp = parent[p_]; signal_send_locked(hp, CHLD)
        :: else
        fi
    fi
}

inline reparent_children_locked(p_) {
    for (j : 1 .. NP - 1) {
        if
        :: parent[j] == p_ && (pstate[j] == ACTIVE || pstate[j] == ZOMBIE) ->
            parent[j] = 0;
            if
            :: pstate[j] == ZOMBIE -> proc_reap_locked(j)
            :: else
            fi
        :: else
        fi
    }
}

inline end_uthread_locked(u_) {
    if
    :: lent[u_] != NONE && has_loan[lent[u_]] ->
        assert(lender[lent[u_]] != u_) /* property: a lender that ends took its name off the loan */
    :: else
    fi;
    ustate[u_] = DEAD;
    uthread_on[u_] = NONE;
    upend[u_] = 0;
    meant_for[u_] = NONE
}

/* What it was chosen for, another takes. */
inline signal_uthread_gone_locked(p_) {
#ifndef MISTAKE_NO_RETARGET
    if
    :: !group_exited[p_] ->
        for (i : 0 .. NU - 1) {
            if
            :: uproc[i] == p_ && ustate[i] == EXECUTING -> m_recalculate_other(i)
            :: else
            fi
        }
    :: else
    fi
#else
    skip
#endif
}
