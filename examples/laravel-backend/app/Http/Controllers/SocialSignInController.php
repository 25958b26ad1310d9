<?php

namespace App\Http\Controllers;

use App\Models\SocialIdentity;
use App\Models\User;
use App\Social\TokenVerifier;
use Illuminate\Http\Client\ConnectionException;
use Illuminate\Http\Client\RequestException;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Str;

class SocialSignInController
{
    public function __invoke(Request $request, string $provider, TokenVerifier $verifier): JsonResponse
    {
        $data = $request->validate([
            'social_token' => ['required', 'string', 'max:8192'],
            'unsigned_name' => ['nullable', 'string', 'max:255'],
        ]);
        try {
            $profile = $verifier->verify($provider, $data['social_token']);
        } catch (ConnectionException|RequestException) {
            abort(503, 'The provider does not answer.');
        }
        abort_if($profile === null, 401, 'Invalid token');
        $profile['name'] ??= $data['unsigned_name'] ?? null;  // Apple's: as if the person had typed it
        $identity = SocialIdentity::where(['provider' => $provider, 'subject' => $profile['subject']])->first();

        return ($identity ? $identity->user : $this->register($provider, $profile))->tokenResponse();
    }

    private function register(string $provider, array $profile): User
    {
        $email = $profile['email'] === null ? null : Str::lower($profile['email']);
        // Never sign in to an account because its email address is the same.
        abort_if($email !== null && User::where('email', $email)->exists(), 409, 'This address signs in another way.');

        return DB::transaction(function () use ($provider, $profile, $email) {
            $name = $profile['name'] === null ? null : Str::substr($profile['name'], 0, 30);
            $user = User::create(['name' => $name, 'email' => $email]);
            $user->forceFill(['email_verified_at' => $email === null ? null : now()])->save();
            $user->identities()->create(['provider' => $provider, 'subject' => $profile['subject']]);

            return $user;
        });
    }
}
