/** A member of a queue. Only the queue writes its fields, except `bytes`. */
export interface QueueMember<Member extends QueueMember<Member>> {
  bytes: number;
  queue: Queue<Member> | undefined;
  older: Member | undefined;
  newer: Member | undefined;
}

/** A doubly linked list, oldest to newest, of members that hold the links themselves; each is in one queue at most. */
export class Queue<Member extends QueueMember<Member>> {
  oldest: Member | undefined = undefined;
  newest: Member | undefined = undefined;
  bytes = 0;
  count = 0;

  append(member: Member): void {
    member.queue = this;
    member.older = this.newest;
    member.newer = undefined;
    if (this.newest === undefined) this.oldest = member;
    else this.newest.newer = member;
    this.newest = member;
    this.bytes += member.bytes;
    this.count += 1;
  }

  cut(member: Member): void {
    if (member.older === undefined) this.oldest = member.newer;
    else member.older.newer = member.newer;
    if (member.newer === undefined) this.newest = member.older;
    else member.newer.older = member.older;
    // A removed member in V8's old generation would keep its neighbours alive until a full collection.
    member.older = undefined;
    member.newer = undefined;
    member.queue = undefined;
    this.bytes -= member.bytes;
    this.count -= 1;
  }
}
