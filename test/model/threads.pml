/* SPDX-License-Identifier: BSD-2-Clause
 * What runs: Mach threads with their kernel code and a user mode that may do anything, the loan service thread, and
 * whoever sends signals.
 */
#define U exec_as[t]
#define P uproc[exec_as[t]]

/* A thread arrives in user mode: everything that a program could see is right. */
inline m_check_user(t_) {
    hu = exec_as[t_];
    hp = uproc[hu];
    assert(ustate[hu] == EXECUTING && uthread_on[hu] == t_ && pstate[hp] == ACTIVE);
    assert(frame[t_] == hu); /* property: everyone runs with its own registers */
    /* property: in its own memory, in a task that exists */
    assert(task_of[t_] != NONE && has_task[task_of[t_]] && tmap[task_of[t_]] == mem[hp]);
    assert(loan_is_borrower(hp) || task_of[t_] == hp);
    assert(!group_exited[hp] || ast[t_] == 2); /* property: no return to user mode in a proc that ends */
    /* property: no signal is forgotten on the way out (with several threads another may be on its way to it) */
    assert(ast[t_] != 0 || !(ucount[hp] == 1 -> m_deliverable(hu) : upend[hu]));
    if
    :: result[t_] != NONE -> /* vfork returns */
        hl = result[t_];
        result[t_] = NONE;
        assert(lent[hu] == NONE && lstate[hl] == RELEASED);
        assert(due[hl] == WAITS); /* property: a lender is resumed once */
        due[hl] = RESUMED;
        /* property: what ended the loan is in effect: zombie and SIGCHLD, or all of the exec */
        assert(execed[hl] -> committed[hl] : (pstate[hl] != ACTIVE && chld_sent[hl] && torn_down[hl]))
    :: else
    fi
}

proctype Thread(byte t; byte loan) {
    byte c = NONE;     /* the child of the vfork at hand; in fork1 also the new thread */
    bit prepared = 0;  /* execve made a task and a thread, for a borrower */
    byte map = NONE;   /* loan_give: the map of its first critical section */

    if
    :: loan != NONE -> c = loan; goto gifted_lender_entry
    :: else -> goto m_back_to_user
    fi;

m_back_to_user:
    atomic {
        if
        :: ast[t] != 0 -> goto signal_ast
        :: else -> d_step { m_check_user(t) }
        fi
    };

end_m_user_mode:
    if
    :: atomic { ast[t] != 0 -> goto signal_ast }

    :: atomic { vforks > 0 && pstate[P] == ACTIVE && !execed[P] -> vforks--; goto fork1 }
    :: atomic { ppwaits > 0 && !execed[P] -> ppwaits--; goto m_fork1_ppwait }
    :: atomic { clones > 0 && !execed[P] -> clones--; goto fork_thread }
    :: atomic { exec_failures > 0 && P > 1 && !execed[P] -> exec_failures--;
                printf("T%d P%d: execve fails, nothing changed\n", t, P); goto m_back_to_user }

    :: atomic { P > 1 && !execed[P] -> goto exec_image }
    :: atomic { P == 1 && lender_execs > 0 && !execed[1] -> lender_execs--; goto exec_image }
    :: atomic { P > 1 && !execed[P] -> asked[P] = 1; goto proc_exit }
    :: atomic { P == 1 && lender_exits > 0 && !execed[1] -> lender_exits--; asked[P] = 1; goto proc_exit }
    :: atomic { U >= NP && !execed[P] && CLONES > 0 -> asked[P] = 1; goto uthread_exit } /* pthread_exit */

    :: atomic { /* proc_wait with WNOHANG, on behalf of any of the parent's uthreads */
           P == 1 && (pstate[2] == ZOMBIE && parent[2] == 1) ->
               printf("T%d P%d: wait4 reaps P2\n", t, P); proc_reap_locked(2); goto m_back_to_user }
#if NP > 3
    :: atomic { parent[3] == P && pstate[3] == ZOMBIE ->
               printf("T%d P%d: wait4 reaps P3\n", t, P); proc_reap_locked(3); goto m_back_to_user }
#endif
#if NP > 4
    :: atomic { parent[4] == P && pstate[4] == ZOMBIE ->
               printf("T%d P%d: wait4 reaps P4\n", t, P); proc_reap_locked(4); goto m_back_to_user }
#endif
    fi;

    /* ---- fork.cpp ------------------------------------------------------------------------------------------------- */
fork1:
#ifdef MISTAKE_CHECK_BEFORE_LOCK /* LX-06, LX-08: signals are looked at before the lock is taken, not under it */
    atomic { if :: needed_level(U) != 0 -> vforks++; goto signal_ast :: else fi };
#endif
    atomic {
        if
#ifndef MISTAKE_CHECK_BEFORE_LOCK
        :: needed_level(U) != 0 -> vforks++; goto signal_ast /* check_no_signal: handled first, then it starts over */
#endif
        :: else -> d_step {
                hn = next_proc;
                next_proc++;
                assert(hn < NP);
                hp = uproc[exec_as[t]];
                uproc[hn] = hn;
                pstate[hn] = ACTIVE;
                parent[hn] = hp;
                ucount[hn] = 1;
                mem[hn] = mem[hp];
                printf("T%d P%d: vfork lends T%d to P%d\n", t, hp, t, hn);
                loan_open_locked(hn, t);
                m_check_ends();
                loan_check_locked()
            };
            goto m_back_to_user
        fi
    };

m_fork1_ppwait:
    atomic {
        if
        :: needed_level(U) != 0 -> ppwaits++; goto signal_ast
        :: else -> d_step {
                c = next_proc;
                next_proc++;
                assert(c < NP);
                hp = uproc[exec_as[t]];
                uproc[c] = c;
                pstate[c] = ACTIVE;
#ifdef FORK_NOWAIT
                parent[c] = 0; /* of init, whoever waits for its release */
#else
                parent[c] = hp;
#endif
                ucount[c] = 1;
                mem[c] = c;
                m_new_thread(hn);
                task_of[hn] = c;
                has_task[c] = 1;
                tmap[c] = c;
                exec_as[hn] = c;
                frame[hn] = c;
                uthread_on[c] = hn;
                ustate[c] = EXECUTING;
                printf("T%d P%d: clone(CLONE_VFORK) makes P%d on T%d\n", t, hp, c, hn);
                loan_expect_locked(c, t);
                loan_check_locked()
            }
        fi
    };
    run Thread(uthread_on[c], NONE); /* thread_start */
    goto loan_wait;

fork_thread:
loan_become_owner: /* a thread needs a task of its proc's own */
    atomic {
        if
        :: loan_is_borrower(P) -> map = tmap[task_of[lthread[P]]]; c = P
        :: else -> goto m_born
        fi
    };
    if
    :: atomic { nomems > 0 -> nomems--; c = NONE; map = NONE;
                printf("T%d P%d: clone gives ENOMEM\n", t, P); goto m_back_to_user }
    :: true
    fi;
    atomic {
        d_step { loan_give(c, map); c = hn; map = NONE };
        if
        :: c == NONE -> goto m_born /* somebody else gave it meanwhile */
        :: else -> printf("T%d P%d: gives itself the gift; its lender P%d sleeps on T%d\n", t, P, uproc[exec_as[c]], c)
        fi
    };
    atomic { run Thread(c, P); c = NONE }; /* thread_start */
m_born:
    atomic {
        if
        :: needed_level(U) != 0 -> clones++; goto signal_ast
        :: else -> d_step {
                hu = next_uthread;
                next_uthread++;
                assert(hu < NU);
                hp = uproc[exec_as[t]];
                m_new_thread(c);
                uproc[hu] = hp;
                ucount[hp]++;
                ustate[hu] = EXECUTING;
                uthread_on[hu] = c;
                exec_as[c] = hu;
                frame[c] = hu;
                assert(has_task[hp]); /* property: a thread is born in its own proc's task */
                task_of[c] = hp;
                printf("T%d P%d: makes a thread, T%d\n", t, hp, c);
                loan_check_locked()
            }
        fi
    };
    atomic { run Thread(c, NONE); c = NONE; goto m_back_to_user };

gifted_lender_entry: /* a fresh thread sleeps where the parked uthread slept */
loan_wait:
    atomic {
        if
        :: lstate[c] == RELEASED ->
            /* NB-45: what it waits for and returns is the loan's, never the child's, who may be gone */
#ifdef MISTAKE_NB45
            assert(pstate[c] != DEAD); /* property: nobody looks at a child that was reaped */
#endif
            result[t] = c; c = NONE; goto m_back_to_user
#ifndef MISTAKE_WAIT_NOT_KILLABLE
        :: lstate[c] != RELEASED && ast[t] == 2 -> goto m_killed_waiting
        :: lstate[c] != RELEASED && ast[t] != 2 -> asleep[t] = 1
#else
        :: else -> asleep[t] = 1
#endif
        fi
    };
    asleep[t] == 0;
    goto loan_wait;
m_killed_waiting: /* nothing that names the lender stays behind (LX-12) */
    atomic {
#ifndef MISTAKE_KILLED_WAITER_STAYS
        lender[c] = NONE;
        lent[U] = NONE;
#endif
        result[t] = NONE;
        c = NONE; goto signal_ast
    };

    /* ---- exec.cpp --------------------------------------------------------------------------------------------------- */
exec_image: /* prepare */
    atomic { prepared = loan_is_borrower(P) };
become_only_uthread:
    atomic {
        if
        :: ucount[P] == 1 -> goto commit_identity
        :: ucount[P] != 1 && (group_exited[P] || survivor[P] != NONE) -> prepared = 0; goto signal_ast
        :: else -> d_step { /* signal_begin_exec_locked */
                hu = exec_as[t];
                hp = uproc[hu];
                survivor[hp] = hu;
                hd = 0;
                for (i : 0 .. NU - 1) {
                    if
                    :: uproc[i] == hp && i != hu && (ustate[i] == EXECUTING || ustate[i] == PARKED) ->
                        hd = hd | (ustate[i] == PARKED);
                        m_recalculate_other(i)
                    :: else
                    fi
                };
#ifndef MISTAKE_EXEC_NO_RECALL
                if
                :: hd -> loan_recall(hp)
                :: else
                fi;
#endif
                m_check_ends();
                printf("T%d P%d: execve ends the other threads\n", t, hp)
            }
        fi
    };
    ucount[P] == 1;
    survivor[P] = NONE; /* signal_end_exec_locked */
commit_identity:
#ifdef MISTAKE_LX15 /* released when the old memory is left, before anything of the new program is in effect */
    atomic {
        if
        :: has_loan[P] && lstate[P] == AWAITED -> d_step { hp = uproc[exec_as[t]]; loan_release_locked(hp, t) }
        :: else
        fi;
        execed[P] = 1
    };
#endif
    committed[P] = 1;
    atomic {
        if
        :: loan_is_borrower(P) -> d_step {
                assert(prepared); /* property: who is a borrower at the commit was one when the commit was prepared */
                hp = uproc[exec_as[t]];
                m_new_thread(c);
                task_of[c] = hp;
                has_task[hp] = 1;
                tmap[hp] = 16 + hp;
                mem[hp] = 16 + hp;
                execed[hp] = 1;
                frame[c] = hp; /* enter_image */
                loan_release_locked(hp, t);
                assert(hd); /* property: handed back */
                uthread_on[hp] = c;
                exec_as[c] = hp;
#ifndef MISTAKE_EXEC_NO_RECALCULATE
                signal_recalculate(hp);
#endif
                loan_check_locked();
                prepared = 0;
                printf("T%d P%d: execve on T%d hands T%d back to P%d\n", t, hp, c, t, uproc[exec_as[t]])
            };
            run Thread(c, NONE); /* thread_start */
            c = NONE; goto m_back_to_user
        :: else -> d_step {
                hp = uproc[exec_as[t]];
                hl = 0;
                for (k : 0 .. NT - 1) {
                    if
                    :: task_of[k] == hp -> hl++
                    :: else
                    fi
                };
                assert(hl == 1 && task_of[t] == hp); /* property: nobody else is in the memory that goes */
                tmap[hp] = 16 + hp;
                mem[hp] = 16 + hp;
                execed[hp] = 1;
                frame[t] = exec_as[t];
                prepared = 0;
                printf("T%d P%d: execve\n", t, hp)
            }
        fi
    };
    atomic {
        d_step {
            hp = uproc[exec_as[t]];
            loan_release_locked(hp, t);
            assert(!hd);
            hu = exec_as[t];
#ifndef MISTAKE_EXEC_IN_PLACE_NO_RECALCULATE /* a deferred stop signal is forgotten */
            signal_recalculate(hu);
#endif
            loan_check_locked()
        };
        goto m_back_to_user
    };

    /* ---- exit.cpp --------------------------------------------------------------------------------------------------- */
proc_exit:
    atomic { true; d_step { hp = uproc[exec_as[t]]; group_exit(hp, EXITED); m_check_ends() } }; /* the first status counts */
uthread_exit:
#ifdef MISTAKE_LX14 /* released when the memory is left, before the zombie is there */
    atomic {
        true;
        d_step {
            hp = uproc[exec_as[t]];
            if
            :: has_loan[hp] && lstate[hp] == AWAITED -> loan_release_locked(hp, t)
            :: else
            fi
        }
    };
#endif
    atomic {
        if
        :: !loan_is_borrower(P) -> task_leave(t)
        :: else
        fi
    };
    atomic {
        ucount[P]--;
        if
        :: ucount[P] > 0 -> d_step {
                hu = exec_as[t];
                hp = uproc[hu];
                end_uthread_locked(hu);
                exec_as[t] = NONE;
                signal_uthread_gone_locked(hp);
                loan_check_locked();
                printf("T%d: a thread of P%d ends\n", t, hp)
            };
            goto thread_exit
        :: else
        fi
    };
take_down: /* end_proc */
    torn_down[P] = 1;
    d_step {
        hp = uproc[exec_as[t]];
        if
        :: has_task[hp] -> task_leave(t); m_task_reset(hp)
        :: else
        fi
    };
end_proc:
    atomic {
        d_step {
            hu = exec_as[t];
            hp = uproc[hu];
            c = hp;
            reparent_children_locked(c);
            status[c] = (group_exited[c] -> group_status[c] : EXITED);
            assert(status[c] != EXITED || asked[c]); /* property: no forced end is reported as an exit */
            assert(status[c] != KILLED || told[c]);  /* property: nobody dies of another's signal */
            end_uthread_locked(hu);
            exec_as[t] = NONE;
            frame[t] = NONE;
            result[t] = NONE;
            pstate[c] = ZOMBIE;
            proc_report_end_locked(c);
            loan_release_locked(c, t);
            printf("T%d P%d: ends with status %d; handed back: %d\n", t, c, status[c], hd);
#ifndef MISTAKE_LATE_GIFT /* the gift came while the borrower was taken down: nobody looks again */
            if
            :: !hd && has_task[c] -> task_leave(t); m_task_reset(c)
            :: else
            fi;
#endif
            loan_check_locked();
            c = NONE
        };
        if
        :: exec_as[t] != NONE -> goto m_back_to_user /* handed back */
        :: else
        fi
    };
thread_exit:
    atomic {
        true;
        d_step {
            assert(exec_as[t] == NONE);
            assert(task_of[t] == NONE); /* property: no thread ends inside a task */
            ast[t] = 0;
            frame[t] = NONE;
            result[t] = NONE
        }
    };
    goto m_end;

    /* ---- signal_deliver.cpp ----------------------------------------------------------------------------------------- */
signal_ast: /* take_one, until nothing is left to do */
    atomic {
        ast[t] = 0;
        if
        :: group_exited[P] -> goto uthread_exit
        :: !group_exited[P] && must_end(U) -> goto uthread_exit
        :: !must_end(U) && stopping[P] -> goto stop_self
        :: !must_end(U) && !stopping[P] ->
            if
            :: upend[U] ->
                assert(meant_for[U] == U); /* property: a signal is taken by whom it was sent to */
                printf("T%d P%d: handles SIGUSR1\n", t, P);
                upend[U] = 0;
                meant_for[U] = NONE;
                goto signal_ast
            :: !upend[U] && (pend[P] & TERM) -> d_step {
                    hp = uproc[exec_as[t]];
                    pend[hp] = pend[hp] & ~TERM;
                    group_exit(hp, KILLED)
                };
                goto signal_ast
            :: !upend[U] && !(pend[P] & TERM) && (pend[P] & CHLD) ->
                printf("T%d P%d: handles SIGCHLD\n", t, P);
                pend[P] = pend[P] & ~CHLD;
                goto signal_ast
            :: !upend[U] && !(pend[P] & (TERM | CHLD)) && m_takes(U, pend[P] & STOP_SIGNALS) != 0 -> goto take_stop_signal
            :: else -> goto m_back_to_user
            fi
        fi
    };
take_stop_signal:
    atomic {
        true;
        d_step {
            hu = exec_as[t];
            hn = m_takes(hu, pend[uproc[hu]] & STOP_SIGNALS);
            hp = uproc[hu];
            if
            :: hn & STOP -> pend[hp] = pend[hp] & ~STOP; begin_stop(hp)
            :: !(hn & STOP) && (hn & TSTP) ->
                assert(!loan_is_borrower(hp)); /* property: SIGTSTP leaves a borrower alone until its loan is over */
                pend[hp] = pend[hp] & ~TSTP;
                begin_stop(hp)
            :: else
            fi
        }
    };
    goto signal_ast;
stop_self:
    atomic {
        if
        :: !stopping[P] || must_end(U) -> goto signal_ast
        :: else ->
            assert(stop_sent[P]); /* property: only who was told to stops */
            printf("T%d P%d: stopped\n", t, P);
            ustopped[U] = 1
        fi
    };
    atomic { !stopping[P] || must_end(U) -> ustopped[U] = 0; goto signal_ast };

m_end:
    skip
}

/* ---- the service thread of vfork.cpp -------------------------------------------------------------------------------- */
proctype recall_service() {
    byte p, c = NONE, map = NONE;
end_m_idle:
    do
    :: recalls_wanted == 1 ->
#ifndef MISTAKE_RECALL_LOST /* cleared after the scan: what is asked for meanwhile is forgotten */
        recalls_wanted = 0;
#endif
        p = 1;
        do
        :: p == NP -> p = 0; break
        :: else ->
            atomic {
                if
                :: recall_wanted[p] -> recall_wanted[p] = 0; recalling = p
                :: else -> goto m_next
                fi
            };
recalled_loan:
            atomic { /* and the first look of loan_give */
                d_step {
                    c = NONE;
                    for (j : 0 .. NU - 1) {
                        if
                        :: c == NONE && uproc[j] == p && ustate[j] == PARKED -> c = lent[j]; map = tmap[task_of[lthread[c]]]
                        :: else
                        fi
                    }
                };
                if
                :: c == NONE -> recalling = NONE; goto m_next
                :: else
                fi
            };
            if
            :: atomic { nomems > 0 -> nomems--; printf("loans: no memory for a gift\n");
#ifdef MISTAKE_NOMEM_GIVES_UP
                        recalling = NONE; c = NONE; map = NONE; goto m_next
#else
                        goto recalled_loan /* sleeps, tries again */
#endif
               }
            :: true
            fi;
            atomic {
                d_step { loan_give(c, map); map = NONE };
                if
                :: hn != NONE ->
                    printf("loans: P%d keeps its thread; its lender P%d sleeps on T%d\n", c, uproc[exec_as[hn]], hn);
                    map = hn
                :: else
                fi
            };
            atomic {
                if
                :: map != NONE -> run Thread(map, c); map = NONE /* thread_start */
                :: else
                fi;
                c = NONE; goto recalled_loan
            };
m_next:
            atomic { true; d_step { m_check_ends() }; p++ }
        od;
        atomic {
#ifdef MISTAKE_RECALL_LOST
            recalls_wanted = 0;
#endif
            d_step {
                for (j : 1 .. NP - 1) {
                    assert(!recall_wanted[j] || recalls_wanted) /* property: no recall is forgotten */
                };
                j = 0
            }
        }
    od
}

/* ---- everyone else -------------------------------------------------------------------------------------------------- */
#define m_can_be_sent(p) (pstate[p] == ACTIVE && !group_exited[p])

inline m_choose_proc(p_) {
    if
    :: m_can_be_sent(1) -> p_ = 1
    :: m_can_be_sent(2) -> p_ = 2
#if NP > 3
    :: m_can_be_sent(3) -> p_ = 3
#endif
#if NP > 4
    :: m_can_be_sent(4) -> p_ = 4
#endif
    :: else -> p_ = NP - 1 /* too late for all of them */
    fi
}

proctype Sender() {
    byte kills = KILLS, terms = TERMS, usr1s = USR1S, stops = STOPS, tstps = TSTPS, p;
    do
    :: atomic { kills > 0 -> m_choose_proc(p); kills--; told[p] = 1; printf("SIGKILL to P%d\n", p);
                d_step { signal_send_locked(p, KILL); m_check_ends() }; p = 0 }
    :: atomic { terms > 0 -> m_choose_proc(p); terms--; told[p] = 1; printf("SIGTERM to P%d\n", p);
                d_step { signal_send_locked(p, TERM) }; p = 0 }
    :: atomic { usr1s > 0 -> m_choose_proc(p); usr1s--; printf("SIGUSR1 to the first thread of P%d\n", p);
                d_step { if :: pstate[p] == ACTIVE && ustate[p] != DEAD -> m_signal_uthread(p) :: else fi }; p = 0 }
    :: atomic { stops > 0 -> m_choose_proc(p); stops--; stop_sent[p] = 1; cont_due[p] = 1; printf("SIGSTOP to P%d\n", p);
                d_step { signal_send_locked(p, STOP) }; p = 0 }
    :: atomic { tstps > 0 -> m_choose_proc(p); tstps--; stop_sent[p] = 1; cont_due[p] = 1; printf("SIGTSTP to P%d\n", p);
                d_step { signal_send_locked(p, TSTP) }; p = 0 }
    :: atomic { cont_due[1] -> cont_due[1] = 0; printf("SIGCONT to P1\n"); d_step { signal_send_locked(1, CONT) } }
    :: atomic { cont_due[2] -> cont_due[2] = 0; printf("SIGCONT to P2\n"); d_step { signal_send_locked(2, CONT) } }
#if NP > 3
    :: atomic { cont_due[3] -> cont_due[3] = 0; printf("SIGCONT to P3\n"); d_step { signal_send_locked(3, CONT) } }
#endif
    /* There need not be any signal: no lender may depend on one to come free. */
    :: atomic { kills + terms + usr1s + stops + tstps > 0 -> kills = 0; terms = 0; usr1s = 0; stops = 0; tstps = 0 }
    :: atomic { kills + terms + usr1s + stops + tstps + cont_due[1] + cont_due[2] + cont_due[NP - 1] == 0 -> break }
    od
}

/* When nothing can happen any more. */
proctype Quiescence() {
    timeout;
    d_step {
        for (i : 0 .. NU - 1) {
            assert(ustate[i] != PARKED); /* property: no lender is stuck */
            if
            :: ustate[i] == EXECUTING -> assert(!m_deliverable(i) && !must_end(i)) /* property: no signal is lost */
            :: else
            fi
        };
        for (i : 2 .. NP - 1) {
            assert(!has_loan[i]);
            /* property: every loan ended, and its lender went on or was killed first */
            assert(due[i] == 0 || (ends[i] == 1 && (due[i] == RESUMED || ustate[whose[i]] == DEAD)));
            assert(pstate[i] != ACTIVE || ucount[i] > 0)
        };
        assert(recalls_wanted == 0 && recalling == NONE);
        printf("all is quiet\n")
    }
}

init {
    atomic {
        pstate[0] = ACTIVE;
        d_step {
            pstate[1] = ACTIVE;
            ucount[1] = 1 + SIBLINGS;
            uproc[1] = 1;
            has_task[1] = 1;
            tmap[1] = 1;
            mem[1] = 1;
            for (i : 0 .. SIBLINGS) {
                hu = (i == 0 -> 1 : NP + i - 1);
                uproc[hu] = 1;
                ustate[hu] = EXECUTING;
                uthread_on[hu] = i;
                exec_as[i] = hu;
                frame[i] = hu;
                task_of[i] = 1
            };
            next_thread = 1 + SIBLINGS;
            next_uthread = NP + SIBLINGS;
            next_proc = 2
        };
        run Thread(0, NONE);
        if
        :: SIBLINGS > 0 -> run Thread(1, NONE)
        :: else
        fi;
        if
        :: SIBLINGS > 1 -> run Thread(2, NONE)
        :: else
        fi;
        run recall_service();
        if
        :: KILLS + TERMS + USR1S + STOPS + TSTPS > 0 -> run Sender()
        :: else
        fi;
        run Quiescence()
    }
}
