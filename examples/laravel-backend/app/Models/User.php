<?php

namespace App\Models;

use Illuminate\Contracts\Auth\MustVerifyEmail;
use Illuminate\Database\Eloquent\Relations\HasMany;
use Illuminate\Foundation\Auth\User as Authenticatable;
use Illuminate\Http\JsonResponse;
use Laravel\Sanctum\HasApiTokens;

class User extends Authenticatable implements MustVerifyEmail
{
    use HasApiTokens;

    protected $fillable = ['name', 'nick_name', 'email', 'password'];

    protected $hidden = ['password', 'remember_token'];

    protected function casts(): array
    {
        return ['email_verified_at' => 'datetime', 'closed_at' => 'datetime', 'password' => 'hashed'];
    }

    public function identities(): HasMany
    {
        return $this->hasMany(SocialIdentity::class);
    }

    /** The response to every sign-in. */
    public function tokenResponse(): JsonResponse
    {
        abort_if($this->closed_at !== null, 423, 'This account is closed.');
        // 90 days: SESSION_ABSOLUTE_AGE, the longest session.
        $token = $this->createToken('munjigi', ['site'], now()->addDays(90));

        return response()->json(['data' => ['token' => ['plainTextToken' => $token->plainTextToken]]]);
    }

    /** Ends all sessions: Munjigi's next call of `/user` gets 401. */
    public function close(): void
    {
        $this->forceFill(['closed_at' => now()])->save();
        $this->tokens()->delete();
    }
}
